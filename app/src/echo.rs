//! `darner echo`: sends back what comes, over TCP and UDP (RFC 862).

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;

use darner::{TcpStream, UdpSocket};

use crate::failure::Failure;
use crate::placement::PlacementOption;
use crate::run;
use crate::service::{self, Server, Service, Used};
use crate::settings::Settings;

/// Echoes until Ctrl-C.
pub(crate) fn run(
    settings: &Settings,
    listen: &[SocketAddr],
    placement: PlacementOption,
) -> Result<(), Failure> {
    let placement = placement.or_file(settings);
    let listen = service::addresses(listen, &settings.file.echo.listen, 7);
    let what = format!("echoing TCP and UDP at {}", service::shown(&listen));
    run::serve(settings, placement, &what, |totals| {
        let echo = Echo { piece: vec![0; PIECE].into_boxed_slice() };
        Box::new(Server::new(echo, listen.clone(), (settings, placement), totals))
    })
}

struct Echo {
    /// What is on its way from one ring to the other: two ends of one stream cannot be borrowed at once.
    piece: Box<[u8]>,
}

/// Ports below this belong to servers. An echo between two of them never ends, and one forged datagram starts it.
const FIRST_CLIENT_PORT: u16 = 1024;

impl Service for Echo {
    /// What the send ring does not take stays unread, and the peer's window closes.
    fn bytes(&mut self, stream: &mut TcpStream) -> io::Result<Used> {
        let input = stream.fill_buf()?;
        let len = input.len().min(PIECE);
        self.piece[..len].copy_from_slice(&input[..len]);
        if len == 0 {
            return Ok(Used::default());
        }
        let written = stream.write(&self.piece[..len])?;
        stream.consume(written);
        Ok(Used { read: written, written })
    }

    /// A datagram that does not fit the queue is lost, as any datagram may be.
    fn datagram(&mut self, socket: &mut UdpSocket, payload: &[u8], from: SocketAddr) -> Used {
        let answers = from.port() >= FIRST_CLIENT_PORT;
        let sent = answers.then(|| socket.send_to(payload, from).ok()).flatten();
        Used { read: payload.len(), written: sent.unwrap_or(0) }
    }
}

/// Bytes echoed at once.
const PIECE: usize = 16 << 10;
