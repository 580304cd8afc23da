//! What is measured: each scenario repeats one thing, and checks that the stack did it and nothing else.

use crate::peer::{ACK, FIN, Flow, MSS, PUSH, SYN};
use crate::server::Role;
use crate::world::World;

/// Frames that arrive together: half a burst.
const BATCH: usize = 32;

/// Rounds that are not counted: slow start is over after them, and every buffer was used once.
const WARM_UP: usize = 32;

/// What one unit costs.
#[derive(Clone, Copy)]
pub(crate) enum Scenario {
    /// An in-order data segment is received, read, and acknowledged.
    SegmentIn,
    /// An ACK of one data segment arrives; nothing waits to be sent.
    AckIn,
    /// A data segment is written and sent, with half of the ACK that made room for it.
    SegmentOut,
    /// A request of 64 B is received, read, and answered with as much; the request acknowledges the answer before it.
    Request,
    /// A turn in which nothing is to be done.
    IdleTurn,
    /// Handshake, request, response, and a close that the peer begins.
    Connection,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] = [
        Self::SegmentIn,
        Self::AckIn,
        Self::SegmentOut,
        Self::Request,
        Self::IdleTurn,
        Self::Connection,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SegmentIn => "segment-in",
            Self::AckIn => "ack-in",
            Self::SegmentOut => "segment-out",
            Self::Request => "request",
            Self::IdleTurn => "idle-turn",
            Self::Connection => "connection",
        }
    }

    /// Does it at least `count` times, in whole batches. Returns how many times it was counted.
    pub(crate) fn run(self, count: usize) -> usize {
        match self {
            Self::SegmentIn => segment_in(count),
            Self::AckIn => ack_in(count),
            Self::SegmentOut => segment_out(count),
            Self::Request => request(count),
            Self::IdleTurn => idle_turn(count),
            Self::Connection => connection(count),
        }
    }
}

fn segment_in(count: usize) -> usize {
    let (mut world, mut flow) = World::with_connection(Role::Sink);
    let mut acknowledged = flow.next_seq();
    let rounds = count.div_ceil(BATCH);
    for round in 0..WARM_UP + rounds {
        for _ in 0..BATCH {
            world.send(&mut flow, ACK, MSS);
        }
        world.turn_counted_if(round >= WARM_UP);
        for segment in world.take() {
            flow.see(&segment);
            acknowledged = segment.ack;
        }
        world.expect_idle();
        assert_eq!(acknowledged, flow.next_seq(), "every byte was acknowledged");
    }
    world.finish();
    rounds * BATCH
}

fn ack_in(count: usize) -> usize {
    let (mut world, mut flow) = World::with_connection(Role::Answer(BATCH * MSS));
    let rounds = count.div_ceil(BATCH);
    for round in 0..WARM_UP + rounds {
        world.send(&mut flow, ACK | PUSH, 1);
        world.turn();
        let mut answered = 0;
        while answered < BATCH * MSS {
            let segments = world.take();
            assert!(!segments.is_empty(), "the answer goes on");
            for segment in segments.iter().filter(|segment| segment.len > 0) {
                answered += segment.len;
                flow.see(segment);
                world.send(&mut flow, ACK, 0);
            }
            let counted = round >= WARM_UP;
            assert!(!counted || world.arriving() == BATCH, "the whole answer is in flight");
            world.turn_counted_if(counted);
        }
        assert_eq!(world.take().len(), 0, "ACKs are not answered");
        world.expect_idle();
    }
    world.finish();
    rounds * BATCH
}

fn segment_out(count: usize) -> usize {
    let (mut world, mut flow) = World::with_connection(Role::Source);
    let (mut sent, mut round) = (0, 0);
    while sent < count {
        let segments = world.take();
        let data: Vec<_> = segments.iter().filter(|segment| segment.len > 0).collect();
        assert!(data.iter().all(|segment| segment.len == MSS), "only full segments leave");
        if round > WARM_UP {
            sent += data.len();
        }
        for pair in data.chunks(2) {
            pair.iter().for_each(|segment| flow.see(segment));
            world.send(&mut flow, ACK, 0);
        }
        assert!(round < WARM_UP || world.arriving() == BATCH, "the window is full");
        world.turn_counted_if((WARM_UP..).contains(&round) && sent < count);
        world.expect_idle();
        round += 1;
    }
    world.finish();
    sent
}

fn request(count: usize) -> usize {
    let mut world = World::new(Role::Answer(REQUEST));
    let mut flows: Vec<Flow> = (0..BATCH).map(Flow::new).collect();
    let open = |world: &mut World, flows: &mut Vec<Flow>, flags| {
        flows.iter_mut().for_each(|flow| world.send(flow, flags, 0));
        world.turn();
        world.take().iter().for_each(|segment| flows[segment.flow(0)].see(segment));
    };
    open(&mut world, &mut flows, SYN);
    open(&mut world, &mut flows, ACK);
    let rounds = count.div_ceil(BATCH);
    for round in 0..WARM_UP + rounds {
        flows.iter_mut().for_each(|flow| world.send(flow, ACK | PUSH, REQUEST));
        world.turn_counted_if(round >= WARM_UP);
        let answers = world.take();
        world.expect_idle();
        assert_eq!(
            answers.len(),
            BATCH,
            "each answer is one segment, and acknowledges its request"
        );
        for answer in &answers {
            assert_eq!(answer.len, REQUEST);
            flows[answer.flow(0)].see(answer);
        }
    }
    world.finish();
    rounds * BATCH
}

fn idle_turn(count: usize) -> usize {
    let (mut world, _) = World::with_connection(Role::Sink);
    for turn in 0..WARM_UP + count {
        world.turn_counted_if(turn >= WARM_UP);
    }
    world.finish();
    count
}

fn connection(count: usize) -> usize {
    let mut world = World::new(Role::Answer(REQUEST));
    let rounds = count.div_ceil(BATCH);
    for round in 0..WARM_UP + rounds {
        let counted = round >= WARM_UP;
        let mut flows: Vec<Flow> =
            (0..BATCH).map(|index| Flow::new(round * BATCH + index)).collect();
        for Step { segments, turns, answer } in STEPS {
            for flow in &mut flows {
                for &(flags, len) in segments {
                    world.send(flow, flags, len);
                }
            }
            for _ in 0..turns {
                world.turn_counted_if(counted);
            }
            let answers = world.take();
            world.expect_idle();
            assert_eq!(answers.iter().map(|segment| segment.len).sum::<usize>(), answer * BATCH);
            for segment in &answers {
                flows[segment.flow(round * BATCH)].see(segment);
            }
        }
        assert!(flows.iter().all(Flow::is_closed), "every connection was closed");
    }
    world.finish();
    rounds * BATCH
}

/// What the peer sends on a connection at once, and what becomes of it.
struct Step {
    /// Flags and length of payload.
    segments: &'static [(u8, usize)],
    /// How many turns it takes.
    turns: usize,
    /// Bytes that come back.
    answer: usize,
}

const STEPS: [Step; 4] = [
    Step { segments: &[(SYN, 0)], turns: 1, answer: 0 },
    // A stream that was accepted is ready in the next turn.
    Step { segments: &[(ACK, 0), (ACK | PUSH, REQUEST)], turns: 2, answer: REQUEST },
    Step { segments: &[(ACK | FIN, 0)], turns: 1, answer: 0 },
    Step { segments: &[(ACK, 0)], turns: 1, answer: 0 },
];

/// Bytes of a request, and of its answer.
const REQUEST: usize = 64;
