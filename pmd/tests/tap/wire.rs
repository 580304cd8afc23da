//! A tap with the kernel on its other side, whatever driver it has.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use pmd::{Burst, Frame, L4Checksum, Pool, QueuePair, TxChecksum};

/// A device of ours and its queue pairs.
pub(crate) struct Wire<D> {
    pub(crate) device: D,
    pub(crate) queues: Vec<Box<dyn QueuePair>>,
}

impl<D> Wire<D> {
    /// The first frame that is `wanted`, at any queue; others (the kernel announces itself) are dropped.
    pub(crate) fn receive(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        let found = within(Duration::from_secs(5), || {
            self.queues.iter_mut().find_map(|queue| {
                let mut burst = Burst::new();
                queue.rx_burst(&mut burst);
                burst.drain().find(&wanted)
            })
        });
        found.expect("the kernel sends it within 5 s")
    }

    pub(crate) fn send(&mut self, frame: Frame) {
        let mut burst = Burst::new();
        burst.push(frame).unwrap();
        assert_eq!(self.queues[0].tx_burst(&mut burst), 1);
    }

    /// Sends a datagram back. Checksums are left to a device that can; UDP's is left out (as it may be) for one that cannot.
    pub(crate) fn echo(&mut self, pool: &Pool, datagram: &Frame) {
        let answer = self.answer(pool, datagram);
        self.send(answer);
    }

    /// What [`echo`](Self::echo) sends.
    pub(crate) fn answer(&self, pool: &Pool, datagram: &Frame) -> Frame {
        let mut answer = blank(pool, datagram.len());
        let bytes = answer.head_mut();
        datagram.copy_to(0, bytes);
        // Swapping leaves the IP header's checksum right.
        for (at, len) in [(0, 6), (26, 4), (34, 2)] {
            let (front, back) = bytes.split_at_mut(at + len);
            front[at..].swap_with_slice(&mut back[..len]);
        }
        let offered = self.queues[0].info().tx_offload;
        if !offered.udp {
            bytes[40..42].fill(0);
            return answer;
        }
        if offered.ipv4 {
            bytes[24..26].fill(0);
        }
        // The pseudo-header's sum: addresses, protocol, length.
        let words = bytes[26..34].chunks(2).chain([&[0, 17][..], &bytes[38..40]]);
        let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        bytes[40..42].copy_from_slice(&folded.to_be_bytes());
        let (ipv4_header, l4) = (offered.ipv4, L4Checksum::Udp);
        answer.request_checksum(TxChecksum { l2_len: 14, l3_len: 20, ipv4_header, l4 });
        answer
    }

    /// Receives until the kernel has been silent for a while.
    pub(crate) fn quiet(&mut self) {
        while self.wakes(500) {
            self.queues[0].rx_burst(&mut Burst::new());
        }
    }

    /// Whether the descriptor is readable within so many milliseconds.
    pub(crate) fn wakes(&self, milliseconds: i32) -> bool {
        let descriptor = self.queues[0].wait_descriptor().expect("a tap has one");
        let mut wanted =
            libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        loop {
            // SAFETY: one entry, of ours.
            match unsafe { libc::poll(&raw mut wanted, 1, milliseconds) } {
                // net_tap's own signal.
                ..0 => assert_eq!(io::Error::last_os_error().kind(), io::ErrorKind::Interrupted),
                count => return count > 0,
            }
        }
    }
}

/// A frame of zeros.
pub(crate) fn blank(pool: &Pool, len: usize) -> Frame {
    let mut frame = pool.alloc().unwrap();
    frame.append(len).unwrap().fill(0);
    frame
}

pub(crate) fn is_udp(frame: &Frame) -> bool {
    frame.head()[12..14] == [8, 0] && frame.head()[23] == 17
}

/// As iproute2 writes it.
pub(crate) fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

pub(crate) fn kernel_socket() -> UdpSocket {
    let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// Polls until `done` has an answer.
pub(crate) fn within<T>(time: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        let answer = done();
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        std::thread::yield_now();
    }
}
