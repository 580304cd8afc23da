//! A connection that real segments have brought into any state, and then segments around its window and calls of its application: what
//! RFC 9293 has out of order changes nothing, and nothing leads where its figure 5 has no way.

#![no_main]

use std::net::Shutdown;
use std::time::Duration;

use darner::{ConnectionInfo, EcnPolicy, TcpConfig, TcpState};
use darner_fuzz::{ACK, FIN, Known, RST, SYN, Script, Segment, URG, World, stream};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut script = Script::new(bytes);
    let mut run = Run::reach(script.byte(), script.byte());
    for _ in 0..MOST_STEPS {
        let Some(step) = script.step() else { break };
        match step % 16 {
            0 => run.pass(script.word()),
            1..4 => run.call(&mut script),
            4..7 => run.next_segment(&mut script),
            _ => run.crooked_segment(&mut script),
        }
    }
    run.world.finish();
});

const MOST_STEPS: usize = 160;
/// The number of the peer's SYN: the stream soon wraps.
const ISS: u32 = u32::MAX - 300;
const BUFFER: usize = 1 << 14;
/// What all connections may take for their applications: enough for this one, or so little that it runs out.
const MEMORY: [usize; 2] = [1 << 16, 1 << 14];

struct Run {
    world: World,
    /// Most bytes that wait to be read.
    memory: usize,
    /// What the peer offers in its SYN.
    options: Vec<u8>,
    /// Whether the peer has sent a FIN, in its place or not.
    fin: bool,
    /// Whether the application has said that it reads no more.
    reads_no_more: bool,
}

/// What can be seen of a connection from outside.
#[derive(Clone, Debug)]
struct Seen {
    state: TcpState,
    in_flight: u32,
    receive_window: u32,
    readable: usize,
}

impl Seen {
    /// An answer may have offered more room; nothing else has happened.
    fn is_unmoved_since(&self, before: &Self) -> bool {
        (self.state, self.in_flight, self.readable)
            == (before.state, before.in_flight, before.readable)
            && self.receive_window >= before.receive_window
    }
}

impl Run {
    /// The way into one of the states: the first byte says which, the second what both ends can do.
    fn reach(place: u8, abilities: u8) -> Self {
        let memory = MEMORY[usize::from(abilities >> 7)];
        let world = World::new(TcpConfig {
            receive_buffer: BUFFER,
            send_buffer: BUFFER,
            receive_buffer_max: if abilities & 1 != 0 { 1 << 20 } else { 0 },
            max_buffered: memory,
            timestamps: abilities & 2 != 0,
            sack: abilities & 4 != 0,
            ecn: if abilities & 8 != 0 { EcnPolicy::Ask } else { EcnPolicy::Off },
            ..TcpConfig::default()
        });
        let mut run = Self {
            world,
            memory,
            options: options_of_syn(abilities),
            fin: false,
            reads_no_more: false,
        };
        match place % 12 {
            0 => run.world.listen(),
            1 => run.world.connect(),
            2 => run.be_called(),
            3 => run.call_each_other(),
            4 => run.accept(),
            number => run.beyond_established(number),
        }
        run
    }

    fn be_called(&mut self) {
        self.world.listen();
        let syn = Segment { seq: ISS, flags: SYN, ..self.with_options(self.options.clone()) };
        self.send(&syn);
    }

    fn call_each_other(&mut self) {
        self.world.connect();
        let syn = Segment { seq: ISS, flags: SYN, ..self.with_options(self.options.clone()) };
        self.send(&syn);
    }

    fn accept(&mut self) {
        self.be_called();
        self.reply(ACK);
        assert!(self.world.stream.is_some(), "a connection to accept");
    }

    fn beyond_established(&mut self, number: u8) {
        use TcpState::*;
        self.world.connect();
        let (seq, ack, flags) = (ISS, self.known().sent, SYN | ACK);
        let syn_ack = Segment { seq, ack, flags, ..self.with_options(self.options.clone()) };
        self.send(&syn_ack);
        let (steps, want): (&[fn(&mut Self)], _) = match number {
            5 => (&[], Some(Established)),
            6 => (&[Self::write, Self::shut], Some(FinWait1)),
            7 => (&[Self::shut, Self::peer_acknowledges], Some(FinWait2)),
            8 => (&[Self::write, Self::peer_closes_without_ack], Some(CloseWait)),
            9 => (&[Self::shut, Self::peer_closes_without_ack], Some(Closing)),
            10 => (&[Self::peer_closes, Self::shut], Some(LastAck)),
            _ => (&[Self::shut, Self::peer_closes], None),
        };
        steps.iter().for_each(|step| step(self));
        let state = self.world.connection().map(|info| info.state);
        assert_eq!(state, want, "the way into the state");
    }

    fn write(&mut self) {
        self.world.write(3000);
    }

    fn shut(&mut self) {
        self.world.shutdown(Shutdown::Write);
    }

    fn peer_acknowledges(&mut self) {
        self.reply(ACK);
    }

    fn peer_closes(&mut self) {
        self.reply(FIN | ACK);
    }

    fn peer_closes_without_ack(&mut self) {
        let ack = self.known().stack_iss.wrapping_add(1);
        let fin = Segment { flags: FIN | ACK, ack, ..self.in_order() };
        self.send(&fin);
    }

    fn known(&self) -> &Known {
        self.world.known.as_ref().expect("the stack has sent a SYN")
    }

    fn with_options(&self, options: Vec<u8>) -> Segment {
        Segment { options, ..self.world.segment() }
    }

    /// The next segment of a peer that has got everything.
    fn in_order(&self) -> Segment {
        let Some(known) = &self.world.known else { return self.world.segment() };
        let seq = if known.peer_iss.is_some() { known.acked } else { ISS };
        let options = match known.stamp {
            Some(echo) => [&[1, 1, 8, 10, 0, 0, 0, 9][..], &echo.to_be_bytes()].concat(),
            None => vec![],
        };
        Segment { seq, ack: known.sent, ..self.with_options(options) }
    }

    fn reply(&mut self, flags: u8) {
        let segment = Segment { flags, ..self.in_order() };
        self.send(&segment);
    }

    /// Time goes on, and ends connections at most.
    fn pass(&mut self, hundredths: u16) {
        let before = self.see();
        self.world.pass(Duration::from_millis(10 * u64::from(hundredths)));
        if let (Some(before), Some(after)) = (before, self.see()) {
            assert_eq!(after.state, before.state, "time alone");
        }
        self.judge();
    }

    fn call(&mut self, script: &mut Script<'_>) {
        let before = self.see();
        match script.byte() % 32 {
            0..10 => self.read(script.amount()),
            10..20 => self.world.write(script.amount()),
            20..24 => self.world.write_urgent(1 + script.amount()),
            24..28 => self.world.shutdown(Shutdown::Write),
            28 => self.read_no_more(),
            29 => self.world.send_small_segments(),
            30 => self.world.abort(),
            _ => self.world.close(),
        }
        if let (Some(before), Some(after)) = (before, self.see()) {
            let closed = self.known().shut;
            let to = match before.state {
                TcpState::Established if closed => TcpState::FinWait1,
                TcpState::CloseWait if closed => TcpState::LastAck,
                state => state,
            };
            assert_eq!(after.state, to, "a call in {:?}", before.state);
        }
        self.judge();
    }

    /// The stream of a connection that lives ends only where the peer has said so.
    fn read(&mut self, len: usize) {
        let lives = self.see().is_some();
        let ended = matches!(self.world.read(len), Ok(0)) && len > 0;
        let known = self.fin || self.reads_no_more || self.world.stream.is_none();
        assert!(known || !lives || !ended, "an end that nobody has sent");
    }

    fn read_no_more(&mut self) {
        self.reads_no_more = true;
        self.world.shutdown(Shutdown::Read);
    }

    /// A peer that goes on as it should.
    fn next_segment(&mut self, script: &mut Script<'_>) {
        let len = script.amount() % 1400;
        let flags = ACK | if script.byte() % 16 == 1 { FIN } else { 0 };
        let payload = self.payload(self.in_order().seq, len);
        let segment = Segment { flags, payload, ..self.in_order() };
        self.send(&segment);
    }

    /// A segment around the edges of the windows, with any flags and options.
    fn crooked_segment(&mut self, script: &mut Script<'_>) {
        let mut segment = self.in_order();
        let (flags, places, lens) = (script.byte(), script.byte(), script.byte());
        // Urgent bytes of a stream that nobody has made inline yet would be missing in it.
        segment.flags = flags & if self.world.stream.is_some() { 0xff } else { !URG };
        segment.urgent = if flags & URG != 0 { script.word() } else { 0 };
        let len = if lens & 1 != 0 { script.amount() % 1400 } else { 0 };
        self.place(&mut segment, places, len as u32, script);
        segment.window = if lens & 2 != 0 { script.word() } else { u16::MAX };
        match lens >> 2 & 7 {
            0..5 => {}
            5 => segment.options.clear(),
            6 => segment.options.clone_from(&self.options),
            _ => {
                let mut options = script.bytes(usize::from(script_len(lens)) * 4).to_vec();
                options.resize(options.len().next_multiple_of(4), 1);
                segment.options = options;
            }
        }
        segment.payload = self.payload_of(&segment, len);
        self.send(&segment);
    }

    /// Numbers at, before and behind what the stack expects, and what it has sent.
    fn place(&self, segment: &mut Segment, places: u8, len: u32, script: &mut Script<'_>) {
        let Some(known) = &self.world.known else { return };
        let small = u32::from(script.byte());
        segment.seq = match places & 0x0f {
            0..6 => segment.seq,
            6 => segment.seq.wrapping_sub(1),
            7 => segment.seq.wrapping_sub(len),
            8 => segment.seq.wrapping_sub(small),
            9 => segment.seq.wrapping_add(1),
            10 => segment.seq.wrapping_add(small),
            11 => known.edge.wrapping_sub(1),
            12 => known.edge,
            13 => known.edge.wrapping_sub(small),
            14 => known.edge.wrapping_add(small),
            _ => script.long(),
        };
        segment.ack = match places >> 4 {
            0..7 => segment.ack,
            7 => segment.ack.wrapping_sub(1),
            8 => segment.ack.wrapping_add(1),
            9 => segment.ack.wrapping_sub(small),
            10 => known.stack_iss,
            11 => known.stack_iss.wrapping_add(1),
            12 => segment.ack.wrapping_add(small),
            13 => segment.ack.wrapping_sub(70_000),
            14 => 0,
            _ => script.long(),
        };
    }

    fn payload_of(&self, segment: &Segment, len: usize) -> Vec<u8> {
        // What comes with a SYN would be the beginning.
        if segment.has(SYN) { stream(0, len) } else { self.payload(segment.seq, len) }
    }

    /// The bytes of the peer's stream that have these numbers.
    fn payload(&self, seq: u32, len: usize) -> Vec<u8> {
        let iss = self.world.known.as_ref().and_then(|known| known.peer_iss).unwrap_or(ISS);
        stream(seq.wrapping_sub(iss.wrapping_add(1)), len)
    }

    fn send(&mut self, segment: &Segment) {
        self.fin |= segment.has(FIN);
        let before = self.see();
        let life = self.world.known.clone();
        let accepted = self.world.accepted;
        self.world.send(segment);
        match (before, life) {
            (Some(before), Some(life)) => {
                let after = self.see();
                self.judge_arrival(segment, &life, &before, after.as_ref());
            }
            (None, life) if self.world.accepted > accepted => {
                judge_handshake(segment, life.as_ref());
            }
            _ => {}
        }
        self.judge();
    }

    /// Section 3.10.7.4, as far as it is the same for whoever implements it.
    fn judge_arrival(&self, segment: &Segment, life: &Known, before: &Seen, after: Option<&Seen>) {
        let state = after.map(|seen| seen.state);
        let says = || format!("{segment:?} in {before:?}: {after:?}; {life:?}");
        if before.state == TcpState::SynSent {
            let answers = segment.has(ACK) && segment.ack == life.stack_iss.wrapping_add(1);
            let legal = match state {
                Some(TcpState::SynSent) => true,
                Some(TcpState::SynReceived) => segment.has(SYN) && !segment.has(RST),
                None => answers && segment.has(RST),
                Some(_) => answers && segment.has(SYN) && !segment.has(RST),
            };
            return assert!(legal, "{}", says());
        }
        let place = Place::of(segment, life, before);
        let harmless = place.is_outside()
            || (segment.has(SYN) && !segment.has(RST) && !place.is_crossing)
            || (segment.has(RST) && !place.is_next)
            || (!segment.has(RST) && !segment.has(ACK));
        if harmless {
            assert!(after.is_some_and(|after| after.is_unmoved_since(before)), "{}", says());
        } else if segment.has(RST) {
            assert!(place.is_shifted || !segment.is_empty() || state.is_none(), "{}", says());
        } else {
            assert!(self.is_way(segment, life, before.state, state), "{}", says());
        }
    }

    /// Figure 5, for a segment that is no reset.
    fn is_way(
        &self,
        segment: &Segment,
        life: &Known,
        from: TcpState,
        to: Option<TcpState>,
    ) -> bool {
        use TcpState::*;
        let (fin, closed) = (self.fin, life.shut);
        let acks_all = segment.ack == life.stack_iss.wrapping_add(2 + life.written) && closed;
        // Whoever has closed altogether resets whoever goes on sending.
        if to.is_none() && self.world.stream.is_none() && !segment.payload.is_empty() {
            return true;
        }
        match (from, to) {
            (from, Some(to)) if from == to => true,
            (SynReceived, Some(Established)) => !closed,
            (SynReceived, Some(FinWait1)) => closed,
            (SynReceived, Some(CloseWait)) => !closed && fin,
            (SynReceived, Some(LastAck | Closing)) => closed && fin,
            (Established, Some(CloseWait)) => fin,
            (FinWait1, Some(FinWait2)) => acks_all,
            (FinWait1, Some(Closing)) => fin,
            (FinWait1, None) => acks_all && fin,
            (FinWait2, None) => fin,
            (Closing | LastAck, None) => acks_all,
            _ => false,
        }
    }

    fn see(&mut self) -> Option<Seen> {
        let readable = self.world.readable();
        let ConnectionInfo { state, in_flight, receive_window, .. } = self.world.connection()?;
        Some(Seen { state, in_flight, receive_window, readable })
    }

    fn judge(&mut self) {
        self.world.sent.clear();
        let buffered = self.world.buffered();
        assert!(buffered <= self.memory, "{buffered} bytes of memory");
    }
}

/// Where a segment lies: section 3.10.7.4, table 6, from what the stack has told.
struct Place {
    is_acceptable: bool,
    /// It begins at RCV.NXT.
    is_next: bool,
    /// Both have called, and this is the answer.
    is_crossing: bool,
    /// It acknowledges what was never sent.
    is_ack_of_nothing: bool,
    /// Window fields are rounded, so that RCV.NXT is not known to the byte.
    is_shifted: bool,
}

impl Place {
    fn of(segment: &Segment, life: &Known, before: &Seen) -> Self {
        let (window, len) = (before.receive_window, segment.len());
        let rounding = (1_u32 << life.shift) - 1;
        let next = life.edge.wrapping_sub(window);
        let is_within = |seq: u32| seq.wrapping_sub(next) < window + rounding;
        let is_acceptable = match (len, window) {
            (0, 0) => segment.seq.wrapping_sub(next) <= rounding,
            (0, _) => is_within(segment.seq),
            (_, 0) => rounding > 0,
            _ => is_within(segment.seq) || is_within(segment.seq.wrapping_add(len - 1)),
        };
        let is_crossing = before.state == TcpState::SynReceived
            && segment.has(SYN | ACK)
            && Some(segment.seq) == life.peer_iss;
        let ahead = segment.ack.wrapping_sub(life.sent) as i32;
        Self {
            is_acceptable,
            is_next: segment.seq.wrapping_sub(next) <= rounding,
            is_crossing,
            is_ack_of_nothing: segment.has(ACK) && !segment.has(RST) && ahead > 0,
            is_shifted: rounding > 0,
        }
    }

    /// Whether it is not even looked at. One that tests a closed window begins where that is.
    fn is_outside(&self) -> bool {
        !self.is_crossing && ((!self.is_acceptable && !self.is_next) || self.is_ack_of_nothing)
    }
}

/// Only who has seen our SYN finishes the handshake.
fn judge_handshake(segment: &Segment, life: Option<&Known>) {
    let life = life.expect("our SYN came before");
    assert!(segment.has(ACK) && !segment.has(SYN) && !segment.has(RST), "{segment:?}");
    assert_eq!(segment.ack, life.stack_iss.wrapping_add(1), "{segment:?}");
}

fn options_of_syn(abilities: u8) -> Vec<u8> {
    let mut options = vec![2, 4, 5, 180];
    for (bit, option) in [
        (0x10, &[1, 3, 3, 7][..]),
        (0x20, &[1, 1, 4, 2]),
        (0x40, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]),
    ] {
        if abilities & bit != 0 {
            options.extend(option);
        }
    }
    options
}

/// Words of options that come from the script.
fn script_len(lens: u8) -> u8 {
    (lens >> 5) + 3
}
