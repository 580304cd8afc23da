//! TCP headers against a table of lengths, and against etherparse and smoltcp.

use etherparse::TcpSlice;
use proptest::prelude::*;
use smoltcp::wire::TcpPacket;

use super::*;
use crate::wire::tcp_options::Timestamps;

#[test]
fn data_offset_must_stay_inside_the_segment() {
    for (name, words, len, want) in [
        ("nothing", 5, 0, Err(Truncated)),
        ("shorter than the fixed header", 5, 19, Err(Truncated)),
        ("offset below five words", 4, 20, Err(DataOffset)),
        ("bare header", 5, 20, Ok((0, 0))),
        ("options run past the end", 6, 20, Err(DataOffset)),
        ("four bytes of options, no payload", 6, 24, Ok((4, 0))),
        ("longest header, one byte of payload", 15, 61, Ok((40, 1))),
    ] {
        let mut segment = vec![0; len];
        if let Some(byte) = segment.get_mut(12) {
            *byte = words << 4;
        }
        let got = TcpView::parse(&segment).map(|s| (s.option_bytes().len(), s.payload().len()));
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn every_truncation_of_a_header_is_refused() {
    let options =
        TcpOptions { timestamps: Some(Timestamps { value: 1, echo: 2 }), ..TcpOptions::default() };
    let header = TcpHeader { options, ..header(Flags::ACK) };
    let bytes = emitted(&header);
    for len in 0..bytes.len() {
        let want = if len < HEADER_LEN { Truncated } else { DataOffset };
        assert_eq!(TcpView::parse(&bytes[..len]).err(), Some(want), "{len}");
    }
}

#[test]
fn options_of_a_syn_are_not_seen_elsewhere() {
    let options = TcpOptions {
        max_segment_size: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 1, echo: 2 }),
        ..TcpOptions::default()
    };
    let syn = emitted(&TcpHeader { options, ..header(Flags::SYN) });
    assert_eq!(TcpView::parse(&syn).unwrap().options(), options);
    let ack = emitted(&TcpHeader { options, ..header(Flags::ACK) });
    let timestamps_only = TcpOptions { timestamps: options.timestamps, ..TcpOptions::default() };
    assert_eq!(TcpView::parse(&ack).unwrap().options(), timestamps_only);
}

#[test]
fn flags_are_sets() {
    let syn_ack = Flags::SYN | Flags::ACK;
    assert!(
        syn_ack.contains(Flags::SYN) && syn_ack.contains(syn_ack) && !Flags::SYN.contains(syn_ack)
    );
    assert!(Flags::SYN.intersects(syn_ack) && !Flags::SYN.intersects(Flags::RST | Flags::FIN));
    assert_eq!(format!("{syn_ack:?} {:?}", Flags::NONE), "SYN|ACK -");
    assert_eq!(format!("{:?}", Flags(0x1ff)), "FIN|SYN|RST|PSH|ACK|URG|ECE|CWR|AE");
}

/// RFC 9293, section 3.1: reserved bits are ignored, and sent as zero.
#[test]
fn reserved_bits_say_nothing() {
    let mut bytes = emitted(&header(Flags::ACK));
    assert_eq!(bytes[12], 0x50);
    bytes[12] |= 0x0e;
    assert_eq!(TcpView::parse(&bytes).unwrap().flags(), Flags::ACK);
    bytes[12] |= 0x01;
    assert_eq!(TcpView::parse(&bytes).unwrap().flags(), Flags::ACK | Flags::AE);
}

#[test]
#[should_panic(expected = "room for the fixed header")]
fn a_header_is_not_emitted_into_less_room() {
    header(Flags::ACK).emit(&mut [0; 19]);
}

proptest! {
    #[test]
    fn we_read_arbitrary_bytes_as_they_do(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80), words in 3..9_u8,
    ) {
        if let Some(byte) = bytes.get_mut(12) {
            *byte = words << 4;
        }
        let ours = TcpView::parse(&bytes);
        prop_assert_eq!(ours.is_ok(), TcpSlice::from_slice(&bytes).is_ok());
        prop_assert_eq!(ours.is_ok(), TcpPacket::new_checked(&bytes).is_ok());
        if let Ok(ours) = ours {
            agree_with_etherparse(&ours, &bytes)?;
        }
    }

    #[test]
    fn they_read_what_we_emit(
        ports: (u16, u16), numbers: (u32, u32), flags in 0..0x200_u16, window: u16, urgent_pointer: u16,
        shift in 0..15_u8, payload in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let sent = TcpHeader {
            source_port: ports.0,
            destination_port: ports.1,
            seq: Seq(numbers.0),
            ack: Seq(numbers.1),
            flags: Flags(flags),
            window,
            urgent_pointer,
            options: TcpOptions { window_scale: Some(shift), ..TcpOptions::default() },
        };
        let mut bytes = emitted(&sent);
        bytes.extend(&payload);
        let ours = TcpView::parse(&bytes).unwrap();
        agree_with_etherparse(&ours, &bytes)?;
        prop_assert_eq!(ours.payload(), &payload);
        let read = TcpHeader {
            source_port: ours.source_port(),
            destination_port: ours.destination_port(),
            seq: ours.seq(),
            ack: ours.ack(),
            flags: ours.flags(),
            window: ours.window(),
            urgent_pointer: ours.urgent_pointer(),
            options: TcpOptions::parse(ours.option_bytes()),
        };
        prop_assert_eq!(read, sent);
    }
}

fn agree_with_etherparse(ours: &TcpView<'_>, bytes: &[u8]) -> Result<(), TestCaseError> {
    let theirs = TcpSlice::from_slice(bytes).unwrap();
    prop_assert_eq!(ours.source_port(), theirs.source_port());
    prop_assert_eq!(ours.destination_port(), theirs.destination_port());
    prop_assert_eq!(ours.seq().0, theirs.sequence_number());
    prop_assert_eq!(ours.ack().0, theirs.acknowledgment_number());
    prop_assert_eq!(ours.header_len(), theirs.header_len());
    prop_assert_eq!(ours.window(), theirs.window_size());
    prop_assert_eq!(ours.urgent_pointer(), theirs.urgent_pointer());
    prop_assert_eq!(ours.option_bytes(), theirs.options());
    prop_assert_eq!(ours.payload(), theirs.payload());
    for (flag, set) in [
        (Flags::FIN, theirs.fin()),
        (Flags::SYN, theirs.syn()),
        (Flags::RST, theirs.rst()),
        (Flags::PSH, theirs.psh()),
        (Flags::ACK, theirs.ack()),
        (Flags::URG, theirs.urg()),
        (Flags::ECE, theirs.ece()),
        (Flags::CWR, theirs.cwr()),
        (Flags::AE, theirs.ns()),
    ] {
        prop_assert_eq!(ours.flags().contains(flag), set, "{:?}", flag);
    }
    Ok(())
}

fn header(flags: Flags) -> TcpHeader {
    TcpHeader {
        source_port: 1,
        destination_port: 2,
        seq: Seq(3),
        ack: Seq(4),
        flags,
        window: 5,
        urgent_pointer: 0,
        options: TcpOptions::default(),
    }
}

fn emitted(header: &TcpHeader) -> Vec<u8> {
    let mut bytes = vec![0xaa; header.header_len()];
    header.emit(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_plain_header_is_the_header_of_the_same_fields(
        ports in any::<[u16; 2]>(),
        numbers in any::<[u32; 2]>(),
        (flags, window) in (0..0x200_u16, any::<u16>()),
        clocks in any::<Option<[u32; 2]>>(),
    ) {
        let ([source_port, destination_port], [seq, ack]) = (ports, numbers.map(Seq));
        let timestamps = clocks.map(|[value, echo]| Timestamps { value, echo });
        let flags = Flags(flags);
        let plain = PlainHeader { source_port, destination_port, seq, ack, flags, window, timestamps };
        let options = TcpOptions { timestamps, ..TcpOptions::default() };
        let urgent_pointer = 0;
        let header =
            TcpHeader { source_port, destination_port, seq, ack, flags, window, urgent_pointer, options };
        prop_assert_eq!(plain.header_len(), header.header_len());
        let mut bytes = [vec![1; plain.header_len()], vec![2; plain.header_len()]];
        plain.emit(&mut bytes[0]);
        header.emit(&mut bytes[1]);
        prop_assert_eq!(&bytes[0], &bytes[1]);
    }
}
