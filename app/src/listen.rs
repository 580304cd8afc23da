//! Listening, with errors that say what to do.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use darner::Ipv4Prefix;
use darner::{Core, TcpListener, Token, UdpSocket};

use crate::placement::Placement;

/// The sockets of a server: one of each kind for each address. Their tokens are their positions; connections have tokens
/// from 2^32 up.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) datagrams: Vec<UdpSocket>,
}

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Which socket a token stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    Listener(usize),
    Datagrams(usize),
    Connection,
}

impl Sockets {
    pub(crate) fn listen(
        &mut self,
        core: &mut Core<'_>,
        addresses: &[SocketAddr],
        ours: &[Ipv4Prefix],
        placement: Placement,
    ) -> io::Result<()> {
        for (index, &address) in addresses.iter().enumerate() {
            let options = placement.listening(core, BACKLOG);
            let listener = core
                .listen_with(address, options, Owner::Listener(index).token())
                .map_err(|error| explain(&error, address, "TCP", ours))?;
            self.listeners.push(listener);
        }
        Ok(())
    }

    pub(crate) fn bind(
        &mut self,
        core: &mut Core<'_>,
        addresses: &[SocketAddr],
        ours: &[Ipv4Prefix],
    ) -> io::Result<()> {
        for (index, &address) in addresses.iter().enumerate() {
            let socket = core
                .bind_udp(address, Owner::Datagrams(index).token())
                .map_err(|error| explain(&error, address, "UDP", ours))?;
            self.datagrams.push(socket);
        }
        Ok(())
    }
}

const DATAGRAMS: u64 = 1 << 31;
const CONNECTIONS: u64 = 1 << 32;

impl Owner {
    pub(crate) fn of(token: Token) -> Self {
        let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        match token.0 {
            number if number >= CONNECTIONS => Self::Connection,
            number if number >= DATAGRAMS => Self::Datagrams(index(number - DATAGRAMS)),
            number => Self::Listener(index(number)),
        }
    }

    fn token(self) -> Token {
        match self {
            Self::Listener(index) => Token(index as u64),
            Self::Datagrams(index) => Token(DATAGRAMS + index as u64),
            Self::Connection => Token(CONNECTIONS),
        }
    }
}

fn explain(
    error: &io::Error,
    address: SocketAddr,
    protocol: &str,
    ours: &[Ipv4Prefix],
) -> io::Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "the port is taken: another --listen has it, choose a different port".to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            let ours: Vec<String> =
                ours.iter().map(|prefix| prefix.address().to_string()).collect();
            format!(
                "not an address of ours: listen on {} or 0.0.0.0, or add it with --address",
                ours.join(", ")
            )
        }
        _ if address.is_ipv6() => {
            "IPv6 is not spoken here: give an IPv4 address, such as 0.0.0.0".to_owned()
        }
        ErrorKind::InvalidInput => "name a port from 1 to 65535".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address} ({protocol}): {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_lead_back_to_their_sockets() {
        for owner in
            [Owner::Listener(0), Owner::Listener(7), Owner::Datagrams(0), Owner::Datagrams(7)]
        {
            assert_eq!(Owner::of(owner.token()), owner);
        }
        let key = slotmap::SlotMap::<slotmap::DefaultKey, ()>::new().insert(());
        assert_eq!(Owner::of(Token(slotmap::Key::data(&key).as_ffi())), Owner::Connection);
    }
}
