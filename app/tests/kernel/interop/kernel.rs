//! The kernel as the peer, with the controller that is asked for.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{Accept, Count, End, Kind, PATH, PATIENCE, PEER, Peer, Stream, TAP, Urgent, to};
use crate::through_a_wire::start;
use crate::world::{DARNER, Darner, World};

/// The name of its controller.
#[derive(Clone, Copy)]
pub(super) struct Kernel(pub(super) &'static str);

impl Kind for Kernel {
    /// The wire makes the tap, whose other side is the kernel's.
    fn lay(&self, world: &World, left: &str) -> Darner {
        let wire = start(world, &format!("{left} tap:{TAP} {PATH}"));
        world.configure(TAP, PEER);
        wire
    }

    fn start(&self, _: &Path) -> Box<dyn Peer> {
        Box::new(*self)
    }
}

impl Peer for Kernel {
    fn listen(&self, port: u16) -> Accept {
        let Self(controller) = *self;
        let listener = TcpListener::bind((PEER, port)).expect("the port is free");
        set_tcp_congestion(&listener, controller).expect(REFUSED);
        Box::new(move || prepared(listener.accept().expect("a connection").0, controller))
    }

    fn connect(&self, port: u16) -> End {
        let stream =
            TcpStream::connect_timeout(&to(DARNER, port), PATIENCE).expect("the wire leads there");
        set_tcp_congestion(&stream, self.0).expect(REFUSED);
        prepared(stream, self.0)
    }

    fn shut_out(&self) -> Count {
        Box::new(|| counter("TCPWinProbe"))
    }
}

const REFUSED: &str =
    "the kernel has this controller: see net.ipv4.tcp_available_congestion_control";

fn prepared(stream: TcpStream, controller: &str) -> End {
    assert_eq!(tcp_congestion(&stream).expect("a TCP socket"), controller);
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    Box::new(stream)
}

impl Stream for TcpStream {
    fn finish(&mut self) {
        self.shutdown(Shutdown::Write).expect("connected");
    }

    fn urgent(&mut self) -> Option<&mut dyn Urgent> {
        Some(self)
    }

    fn shut_windows(&self) -> u64 {
        counter("TCPToZeroWindowAdv")
    }
}

impl Urgent for TcpStream {
    fn send(&mut self, byte: u8) -> io::Result<usize> {
        Ok(send(&*self, &[byte], SendFlags::OOB)?)
    }

    fn fetch(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        recv(&*self, &mut byte, RecvFlags::OOB | RecvFlags::DONTWAIT)?;
        Ok(byte[0])
    }
}

/// A counter of netstat(8) in this thread's namespace.
fn counter(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").expect("/proc is mounted");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = both.find(|(found, _)| *found == name).expect("a counter of Linux");
    value.parse().expect("a number")
}
