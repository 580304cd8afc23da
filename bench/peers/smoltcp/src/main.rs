//! smoltcp as a peer of the bench: the services of `darner-bench serve` over a tap device, on one thread that never rests.
//!
//! `darner-peer-smoltcp TAP respond|sink|source` has 10.0.0.2/24 and port 7000, says "ready", and ends with its standard input.

#![forbid(unsafe_code)]

use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Medium, TunTapInterface};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

/// What is done with a connection.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Role {
    /// 64 bytes for each 64.
    Respond,
    Sink,
    Source,
}

/// Bytes that were read and are not answered yet.
#[derive(Clone, Copy, Default)]
struct Peer {
    owed: usize,
}

const PORT: u16 = 7000;
/// smoltcp has one socket for each connection there may be.
const CONNECTIONS: usize = 128;
const BUFFER: usize = 256 << 10;
/// Turns between two looks whether it is to end.
const LOOK_EVERY: u32 = 1 << 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = match arguments.get(1).map(String::as_str) {
        Some("respond") => Role::Respond,
        Some("sink") => Role::Sink,
        Some("source") => Role::Source,
        _ => {
            eprintln!("usage: darner-peer-smoltcp TAP respond|sink|source");
            return ExitCode::from(2);
        }
    };
    match serve(&arguments[0], role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "darner-peer-smoltcp: no tap device {}, which needs root: {error}",
                arguments[0]
            );
            ExitCode::from(3)
        }
    }
}

fn serve(tap: &str, role: Role) -> io::Result<()> {
    let mut device = TunTapInterface::new(tap, Medium::Ethernet)?;
    let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 2]).into());
    let mut interface = Interface::new(config, &mut device, Instant::now());
    interface.update_ip_addrs(|addresses| {
        // There is room for one.
        let _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24));
    });
    let mut sockets = SocketSet::new(Vec::new());
    let mut peers: Vec<(SocketHandle, Peer)> =
        (0..CONNECTIONS).map(|_| (sockets.add(socket()), Peer::default())).collect();
    let ends = watch();
    println!("ready on smoltcp");
    let fill = vec![b'x'; BUFFER];
    while !ends.load(Ordering::Relaxed) {
        for _ in 0..LOOK_EVERY {
            interface.poll(Instant::now(), &mut device, &mut sockets);
            for (handle, peer) in &mut peers {
                peer.go_on(sockets.get_mut(*handle), role, &fill);
            }
        }
    }
    Ok(())
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket
}

/// True once standard input has ended.
fn watch() -> Arc<AtomicBool> {
    let ends = Arc::new(AtomicBool::new(false));
    let tell = ends.clone();
    std::thread::spawn(move || {
        while io::stdin().read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
        tell.store(true, Ordering::Relaxed);
    });
    ends
}

impl Peer {
    fn go_on(&mut self, socket: &mut Socket<'_>, role: Role, fill: &[u8]) {
        if !socket.is_open() {
            *self = Self::default();
            // It is not open, and the port is not zero.
            let _ = socket.listen(PORT);
            return;
        }
        while socket.can_recv() {
            let taken = socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap_or(0);
            self.owed += if role == Role::Respond { taken } else { 0 };
        }
        if role == Role::Source && socket.may_send() {
            self.owed = fill.len();
        }
        if self.owed > 0 && socket.can_send() {
            let sent = socket.send_slice(&fill[..self.owed.min(fill.len())]).unwrap_or(0);
            self.owed -= sent;
        }
        if socket.state() == State::CloseWait && (self.owed == 0 || role == Role::Source) {
            socket.close();
        }
    }
}
