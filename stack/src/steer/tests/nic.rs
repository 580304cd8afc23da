//! A card with several queues that spreads what it receives as a test wants it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use pmd::toeplitz::{Key, RedirectionTable, Toeplitz};
use pmd::{
    Burst, Frame, Hashed, Medium, Pool, QueueInfo, QueuePair, Rss, RxOffload, Scaling, TxOffload,
};

use super::packet::Ends;

/// How a card spreads, and what it says about that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spread {
    /// As it says, by the key that it says it has.
    ByItsKey,
    /// By another key than it says.
    ByAnotherKey,
    /// By its key, and without the hash in its frames.
    Silently,
    /// By its key, with another hash in its frames.
    Mistakenly,
    /// It hashes addresses without ports, and says so.
    ByAddresses,
    /// To one queue after the other: it has no RSS.
    ByTurns,
}

pub(super) const ALL: [Spread; 6] = [
    Spread::ByItsKey,
    Spread::ByAnotherKey,
    Spread::Silently,
    Spread::Mistakenly,
    Spread::ByAddresses,
    Spread::ByTurns,
];

/// The far side of the card.
#[derive(Clone)]
pub(super) struct Nic(Arc<Mutex<Card>>);

struct Card {
    spread: Spread,
    toeplitz: Toeplitz,
    table: RedirectionTable,
    pool: Pool,
    arriving: Vec<VecDeque<Frame>>,
    transmitted: VecDeque<Frame>,
    turn: usize,
}

struct NicQueue {
    info: QueueInfo,
    card: Arc<Mutex<Card>>,
}

impl Nic {
    pub(super) fn new(spread: Spread, queues: u16, pool: Pool) -> (Self, Vec<Box<dyn QueuePair>>) {
        let told = Key::MICROSOFT;
        let mut other = *told.bytes();
        other.reverse();
        let key = if spread == Spread::ByAnotherKey { Key::new(other) } else { told };
        let table = RedirectionTable::even(128, queues);
        let tcp = if spread == Spread::ByAddresses { Hashed::Addresses } else { Hashed::Ports };
        let rss = match spread {
            Spread::ByTurns => Rss::Unsupported,
            _ => Rss::AsAsked(Arc::new(Scaling { key: told, table: table.clone(), tcp, udp: tcp })),
        };
        let card = Arc::new(Mutex::new(Card {
            spread,
            toeplitz: Toeplitz::new(&key),
            table,
            pool: pool.clone(),
            arriving: (0..queues).map(|_| VecDeque::new()).collect(),
            transmitted: VecDeque::new(),
            turn: 0,
        }));
        let queue = |queue| {
            let info = QueueInfo {
                device: "card".to_owned(),
                queue,
                medium: Medium::Ethernet(ADDRESS),
                mtu: 1500,
                tx_offload: TxOffload { multi_segment: true, ..TxOffload::default() },
                rss: rss.clone(),
                pool: pool.clone(),
            };
            Box::new(NicQueue { info, card: card.clone() }) as Box<dyn QueuePair>
        };
        let pairs = (0..queues).map(queue).collect();
        (Self(card), pairs)
    }

    /// A frame comes in from the wire. Returns the queue that it waits at.
    pub(super) fn receive(&self, bytes: &[u8]) -> usize {
        let mut card = self.lock();
        let (hash, queue) = card.place(bytes);
        card.receive_at(queue, bytes, hash);
        queue
    }

    /// A frame comes in at this queue, wherever it belongs.
    pub(super) fn receive_at(&self, queue: usize, bytes: &[u8]) {
        self.lock().receive_at(queue, bytes, None);
    }

    pub(super) fn take(&self) -> Option<Vec<u8>> {
        let frame = self.lock().transmitted.pop_front()?;
        Some(frame.segments().collect::<Vec<_>>().concat())
    }

    fn lock(&self) -> MutexGuard<'_, Card> {
        self.0.lock().unwrap()
    }
}

impl Card {
    /// The hash that the frame carries, and its queue.
    fn place(&mut self, bytes: &[u8]) -> (Option<u32>, usize) {
        if self.spread == Spread::ByTurns {
            self.turn += 1;
            return (None, self.turn % self.arriving.len());
        }
        let Some(ends) = Ends::of(bytes) else { return (None, 0) };
        let hash = match ends.sockets() {
            Some((source, destination)) if self.spread != Spread::ByAddresses => {
                self.toeplitz.ipv4_ports(source, destination)
            }
            _ => self.toeplitz.ipv4(ends.source, ends.destination),
        };
        let told = match self.spread {
            Spread::Silently => None,
            Spread::Mistakenly => Some(!hash),
            _ => Some(hash),
        };
        (told, usize::from(self.table.queue(hash)))
    }

    fn receive_at(&mut self, queue: usize, bytes: &[u8], hash: Option<u32>) {
        let mut frame = self.pool.frame_of(bytes).expect("tests lose no frames");
        let found = frame.rx_offload();
        frame.set_rx_offload(RxOffload { rss_hash: hash, ..found });
        self.arriving[queue].push_back(frame);
    }
}

impl QueuePair for NicQueue {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let mut card = self.card.lock().unwrap();
        let arriving = &mut card.arriving[usize::from(self.info.queue)];
        let count = burst.room().min(arriving.len());
        for frame in arriving.drain(..count) {
            burst.push(frame).unwrap();
        }
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let count = burst.len();
        self.card.lock().unwrap().transmitted.extend(burst.drain());
        count
    }

    fn info(&self) -> &QueueInfo {
        &self.info
    }
}

pub(super) const ADDRESS: [u8; 6] = [2, 0, 0, 0, 0, 2];
