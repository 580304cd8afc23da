//! The packets of RFC 9235, which an implementation of TCP-AO must sign and take as they are.

use std::net::Ipv4Addr;

use super::super::session::Session;
use super::super::{Signer, TcpAoAlgorithm, TcpAoKey};
use super::*;
use crate::wire::ipv4::HEADER_LEN;
use crate::wire::tcp::TcpView;

const PACKETS: &str = include_str!("rfc9235.txt");

/// One connection of the RFC: both ends.
struct Ends {
    client: Session,
    server: Session,
}

impl Ends {
    /// `algorithm options ISN-of-the-client ISN-of-the-server`. Ports are those of the first packet.
    fn new(line: &str, first_packet: &[u8]) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let algorithm = match words[0] {
            "sha1" => TcpAoAlgorithm::HmacSha1,
            _ => TcpAoAlgorithm::Aes128Cmac,
        };
        let isn = |word: &str| Seq(u32::from_str_radix(word, 16).unwrap());
        let key = |peer: Ipv4Addr, ids| {
            let key = TcpAoKey::new(peer, ids, algorithm, b"testvector").unwrap();
            if words[1] == "excluded" { key.excluding_options() } else { key }
        };
        let flow = FlowKey4 {
            local: Ipv4Addr::new(10, 11, 12, 13),
            remote: Ipv4Addr::new(172, 27, 28, 29),
            local_port: u16::from_be_bytes([first_packet[20], first_packet[21]]),
            remote_port: 179,
        };
        let back = FlowKey4 {
            local: flow.remote,
            remote: flow.local,
            local_port: 179,
            remote_port: flow.local_port,
        };
        let end = |flow: &FlowKey4, ids, ours| {
            Session::new([key(flow.remote, ids)].iter(), flow, ours, None).unwrap()
        };
        let (client, server) = (isn(words[2]), isn(words[3]));
        Self { client: end(&flow, (61, 84), client), server: end(&back, (84, 61), server) }
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn packets_of_rfc_9235_are_signed_and_taken() {
    let mut lines = PACKETS.lines().filter(|line| !line.starts_with('#')).peekable();
    let mut ends = None;
    let mut count = 0;
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        let [sender, section, hex] = words[..] else {
            let first = lines.peek().unwrap().split(' ').next_back().unwrap();
            ends = Some(Ends::new(line, &bytes_of(first)));
            continue;
        };
        let Some(Ends { client, server }) = &mut ends else { panic!("packets come later") };
        let (from, to) = if sender == "client" { (client, server) } else { (server, client) };
        is_signed_and_taken(section, &bytes_of(hex), from, to);
        count += 1;
    }
    assert_eq!(count, 16);
}

fn is_signed_and_taken(section: &str, packet: &[u8], from: &mut Session, to: &mut Session) {
    let segment = &packet[HEADER_LEN..];
    let view = TcpView::parse(segment).unwrap();
    let (seq, whole) = (view.seq(), u64::from(view.seq().0));
    let (header, payload) = segment.split_at(view.header_len());

    if view.flags().contains(Flags::SYN) {
        to.check_signature(&from.flow, (header, payload), &view).expect(section);
        to.learn_isn(seq);
    }
    to.check_signature(&from.flow, (header, payload), &view).expect(section);
    let mut changed = header.to_vec();
    changed[15] ^= 1;
    let refused = to.check_signature(&from.flow, (&changed, payload), &view);
    assert_eq!(refused, Err(Drop::TcpAoWrong), "{section}");

    let mut unsigned = header.to_vec();
    let at = HEADER_LEN + crate::wire::tcp_options::auth_data_at(view.option_bytes()).unwrap();
    unsigned[at..at + 14].fill(0);
    Signer::Ao(from.signer(whole, seq)).sign(&from.flow, &mut unsigned, payload);
    assert_eq!(unsigned, header, "{section}");
}

impl Session {
    fn check_signature(
        &mut self,
        flow: &FlowKey4,
        (header, payload): (&[u8], &[u8]),
        view: &TcpView<'_>,
    ) -> Result<(), Drop> {
        let segment = Covered::sent(flow, header, payload).unwrap();
        let bare = view.flags().contains(Flags::SYN) && !view.flags().contains(Flags::ACK);
        let claim =
            Claim { seq: view.seq(), opening: if bare { Opening::Bare } else { Opening::No } };
        self.verify(&segment, claim, u64::from(view.seq().0))
    }
}
