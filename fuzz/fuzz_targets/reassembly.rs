//! A stream whose segments overlap, overtake each other and come twice, against a map of its bytes.

#![no_main]

use std::time::Duration;

use darner::TcpConfig;
use darner_fuzz::{ACK, FIN, SYN, Script, Segment, World, stream};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut script = Script::new(bytes);
    let mut run = Run::new(&mut script);
    for _ in 0..MOST_STEPS {
        let Some(step) = script.step() else { break };
        match step % 8 {
            0 => run.pass(script.byte()),
            1 => run.read(script.amount()),
            _ => run.segment(&mut script),
        }
    }
    run.end();
});

/// Fewer segments than a connection may keep behind a gap.
const MOST_STEPS: usize = 200;
/// The number of the peer's SYN: the stream soon wraps.
const ISS: u32 = u32::MAX - 300;
/// Bytes beyond which nothing is sent: more than a window.
const LONGEST: usize = 3 << 13;
const WINDOW: usize = 1 << 13;
/// What is stored at a time. A window that crosses from one to the next takes two, and as much again may wait behind a gap.
const CHUNK: usize = 16 << 10;

struct Run {
    world: World,
    sack: bool,
    /// Length of the peer's stream.
    len: usize,
    /// The bytes that the stack has, read or not.
    here: Vec<bool>,
    /// Bytes from the start on without a gap.
    next: usize,
    fin_is_here: bool,
}

impl Run {
    fn new(script: &mut Script<'_>) -> Self {
        let sack = !script.byte().is_multiple_of(4);
        let len = 1 + usize::from(script.word()) % LONGEST;
        let mut world = World::new(TcpConfig {
            // The window field says all, and stays as it is.
            receive_buffer: WINDOW,
            receive_buffer_max: 0,
            timestamps: false,
            ..TcpConfig::default()
        });
        world.connect();
        let known = world.known.as_ref().expect("a SYN is out");
        let options = if sack { vec![1, 1, 4, 2] } else { vec![] };
        let (flags, ack) = (SYN | ACK, known.sent);
        let syn_ack = Segment { seq: ISS, ack, flags, options, ..world.segment() };
        world.send(&syn_ack);
        Self { world, sack, len, here: vec![false; len], next: 0, fin_is_here: false }
    }

    /// A segment whose place is told from where the stack waits, or from the start.
    fn segment(&mut self, script: &mut Script<'_>) {
        let place = script.byte();
        let from = match place % 8 {
            0 | 1 => self.next,
            2 => self.next.saturating_sub(script.amount()),
            3 => usize::from(script.word()),
            _ => self.next + script.amount(),
        };
        let from = from.min(self.len);
        let to = (from + script.amount() % 1461).min(self.len);
        let fin = to == self.len && place & 0x80 != 0;
        self.send(from, to, fin);
    }

    fn send(&mut self, from: usize, to: usize, fin: bool) {
        let ack = self.world.known.as_ref().expect("a connection").sent;
        let flags = ACK | if fin { FIN } else { 0 };
        let payload = stream(from as u32, to - from);
        let segment = Segment { seq: number(from), ack, flags, payload, ..self.world.segment() };
        let edge = self.edge();
        self.world.sent.clear();
        self.world.send(&segment);
        let kept = self.take(from, to, edge, fin);
        self.judge(kept);
    }

    /// Where the window ends, which is known before the segment comes.
    fn edge(&self) -> usize {
        let edge = self.world.known.as_ref().expect("a connection").edge;
        edge.wrapping_sub(number(0)) as usize
    }

    /// What becomes of the bytes: a segment is cut to the window, and then to the first stretch that is missing. A FIN is dropped with what
    /// is dropped before it, but noted where a segment waits for a gap. Returns where what was kept behind a gap begins.
    fn take(&mut self, from: usize, to: usize, edge: usize, fin: bool) -> Option<usize> {
        let end = to + usize::from(fin);
        // Table 6 of RFC 9293 wants the first or the last number in the window: one that reaches over all of it has neither.
        let reaches_over = from < self.next && end > edge;
        if from.max(self.next) >= end.min(edge) || reaches_over || self.is_over() {
            return None;
        }
        let before = self.next;
        let first = (from.max(before)..to.min(edge)).find(|&at| !self.here[at]);
        if let Some(first) = first {
            let stretch = self.here[first..to.min(edge)].iter_mut().take_while(|here| !**here);
            stretch.for_each(|here| *here = true);
        }
        self.next += self.here[before..].iter().take_while(|here| **here).count();
        self.fin_is_here |= fin && end <= edge && (from > before || self.next == self.len);
        first.filter(|_| from > before)
    }

    /// Whether the end of the stream has come, and all before it.
    fn is_over(&self) -> bool {
        self.next == self.len && self.fin_is_here
    }

    /// What the stack says and has is what the map has.
    fn judge(&mut self, kept: Option<usize>) {
        let expected = self.world.next_expected().expect("nothing ends the connection");
        assert_eq!(expected, number(self.next + usize::from(self.is_over())), "RCV.NXT");
        assert_eq!(self.world.readable(), self.next - self.world.read as usize);
        assert!(self.world.frames_held() <= MOST_STEPS, "a frame for each segment at most");
        assert!(self.world.buffered() <= 2 * CHUNK + WINDOW, "a window's worth");
        let answers: Vec<_> = self.world.sent.iter().filter_map(|p| Segment::parse(p)).collect();
        for answer in &answers {
            self.judge_blocks(&answer.sack_blocks());
        }
        if let Some(kept) = kept {
            // RFC 5681, section 4.2; RFC 2018, section 4: the first block is of what has just come.
            let answer = answers.last().expect("a gap is told of at once");
            let tells = |&(left, right): &(u32, u32)| (place(left)..place(right)).contains(&kept);
            let first = answer.sack_blocks().iter().take(2).any(tells);
            assert_eq!(first, self.sack, "{kept} is not told of: {answer:?}");
        }
    }

    /// All but a report of what came twice is here, behind a gap, and all of its stretch.
    fn judge_blocks(&self, blocks: &[(u32, u32)]) {
        assert!(blocks.is_empty() || self.sack, "nobody asked for SACK");
        for (index, &(left, right)) in blocks.iter().enumerate() {
            let (left, right) = (place(left), place(right));
            assert!(left < right && right <= self.len, "{left} to {right}");
            assert!(self.here[left..right].iter().all(|here| *here), "{left} to {right}");
            let whole = left > self.next && !self.here[left - 1] && !self.is_here(right);
            assert!(index == 0 || whole, "{left} to {right} is part of a stretch");
        }
    }

    fn is_here(&self, at: usize) -> bool {
        self.here.get(at).is_some_and(|here| *here)
    }

    fn read(&mut self, len: usize) {
        let before = self.world.read as usize;
        match self.world.read(len) {
            Ok(0) if len > 0 => assert!(self.is_over() && before == self.len, "an end at {before}"),
            Ok(taken) => assert_eq!(taken, len.min(self.next - before)),
            Err(_) => assert!(before == self.next && !self.is_over()),
        }
        self.judge(None);
    }

    fn pass(&mut self, hundredths: u8) {
        self.world.sent.clear();
        self.world.pass(Duration::from_millis(10 * u64::from(hundredths)));
        self.judge(None);
    }

    /// What is missing comes, in order, and is read.
    fn end(mut self) {
        while !self.is_over() {
            let (from, to) = (self.next, self.len.min(self.next + 1460));
            self.send(from, to, to == self.len);
            self.read(WINDOW);
        }
        self.read(WINDOW);
        assert_eq!(self.world.read as usize, self.len, "the whole stream is read");
        self.world.finish();
    }
}

/// The sequence number of a place in the stream.
fn number(place: usize) -> u32 {
    ISS.wrapping_add(1).wrapping_add(place as u32)
}

fn place(number: u32) -> usize {
    number.wrapping_sub(ISS.wrapping_add(1)) as usize
}
