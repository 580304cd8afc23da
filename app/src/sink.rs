//! `darner sink`: reads and discards what comes, over TCP and UDP (RFC 863).

use std::io::{self, BufRead};
use std::net::SocketAddr;

use darner::{TcpStream, UdpSocket};

use crate::failure::Failure;
use crate::placement::PlacementOption;
use crate::run;
use crate::service::{self, Server, Service, Used};
use crate::settings::Settings;

/// Discards until Ctrl-C.
pub(crate) fn run(
    settings: &Settings,
    listen: &[SocketAddr],
    placement: PlacementOption,
) -> Result<(), Failure> {
    let placement = placement.or_file(settings);
    let listen = service::addresses(listen, &settings.file.sink.listen, 9);
    let what = format!("discarding TCP and UDP at {}", service::shown(&listen));
    run::serve(settings, placement, &what, |totals| {
        Box::new(Server::new(Sink, listen.clone(), (settings, placement), totals))
    })
}

struct Sink;

impl Service for Sink {
    fn bytes(&mut self, stream: &mut TcpStream) -> io::Result<Used> {
        let len = stream.fill_buf()?.len();
        stream.consume(len);
        Ok(Used { read: len, written: 0 })
    }

    fn datagram(&mut self, _: &mut UdpSocket, payload: &[u8], _: SocketAddr) -> Used {
        Used { read: payload.len(), written: 0 }
    }
}
