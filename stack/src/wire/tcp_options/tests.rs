//! Options as they should be, as they should not, and as etherparse and smoltcp read and write them.

use etherparse::{TcpOptionElement, TcpOptionsIterator};
use proptest::prelude::*;
use smoltcp::wire::TcpOption;

use super::*;

#[test]
fn options_are_read_around_what_is_wrong_with_them() {
    let mss = TcpOptions { max_segment_size: Some(1460), ..NONE };
    let scale = |shift| TcpOptions { window_scale: Some(shift), ..NONE };
    for (name, bytes, want) in [
        ("none", &[][..], NONE),
        ("segment size", &[2, 4, 5, 180], mss),
        ("segment size of zero", &[2, 4, 0, 0], NONE),
        ("the last of two counts", &[2, 4, 9, 9, 2, 4, 5, 180], mss),
        ("nothing counts after the end", &[0, 2, 4, 5, 180], NONE),
        ("padding before", &[1, 1, 1, 1, 2, 4, 5, 180], mss),
        ("an unknown option is skipped", &[254, 4, 3, 3, 2, 4, 5, 180], mss),
        ("an unknown option without data", &[35, 2, 2, 4, 5, 180], mss),
        ("segment size of a wrong length is skipped", &[2, 3, 5, 2, 4, 5, 180], mss),
        ("length zero ends the walk", &[2, 4, 5, 180, 3, 0, 3, 3, 7], mss),
        ("length one ends the walk", &[2, 4, 5, 180, 9, 1, 3, 3, 7], mss),
        ("length past the header ends the walk", &[2, 4, 5, 180, 3, 4, 7], mss),
        ("length missing", &[2, 4, 5, 180, 3], mss),
        ("window scale", &[3, 3, 7], scale(7)),
        ("window scale beyond 14", &[3, 3, 15], scale(14)),
        ("window scale of 255", &[3, 3, 255], scale(14)),
        ("SACK permitted", &[4, 2], TcpOptions { sack_permitted: true, ..NONE }),
        ("SACK permitted with data", &[4, 3, 1], NONE),
        (
            "timestamps",
            &[8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            TcpOptions { timestamps: Some(STAMPS), ..NONE },
        ),
        ("timestamps of a wrong length", &[8, 9, 0, 0, 0, 1, 0, 0, 0], NONE),
        ("SACK without blocks", &[5, 2], NONE),
        ("SACK of half a block", &[5, 6, 0, 0, 0, 1], NONE),
        (
            "SACK",
            &[5, 10, 0, 0, 0, 9, 0, 0, 0, 12],
            TcpOptions { sack_blocks: blocks(&[(9, 12)]), ..NONE },
        ),
    ] {
        assert_eq!(TcpOptions::parse(bytes), want, "{name}");
    }
}

#[test]
fn options_are_written_as_linux_does() {
    let syn = TcpOptions {
        max_segment_size: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        ..NONE
    };
    let stamps = [0, 0, 0, 1, 0, 0, 0, 2];
    for (name, options, want) in [
        ("none", NONE, vec![]),
        ("SYN without timestamps", syn, vec![2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]),
        (
            "SYN with timestamps",
            TcpOptions { timestamps: Some(STAMPS), ..syn },
            [&[2, 4, 5, 180, 4, 2, 8, 10], &stamps[..], &[1, 3, 3, 7]].concat(),
        ),
        (
            "segment size only",
            TcpOptions { max_segment_size: Some(536), ..NONE },
            vec![2, 4, 2, 24],
        ),
        (
            "data",
            TcpOptions { timestamps: Some(STAMPS), ..NONE },
            [&[1, 1, 8, 10], &stamps[..]].concat(),
        ),
        (
            "a hole",
            TcpOptions { timestamps: Some(STAMPS), sack_blocks: blocks(&[(9, 12)]), ..NONE },
            [&[1, 1, 8, 10], &stamps[..], &[1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 12]].concat(),
        ),
    ] {
        assert_eq!(emitted(&options), want, "{name}");
    }
}

#[test]
fn options_are_written_as_freebsd_does() {
    let syn = TcpOptions {
        order: OptionOrder::FreeBsd,
        max_segment_size: Some(1460),
        window_scale: Some(6),
        sack_permitted: true,
        ..NONE
    };
    let begin = [2, 4, 5, 180, 1, 3, 3, 6];
    let stamps = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    let timestamps = Some(STAMPS);
    for (name, options, want) in [
        ("SYN without timestamps", syn, [&begin[..], &[4, 2, 0, 0]].concat()),
        (
            "SYN with timestamps",
            TcpOptions { timestamps, ..syn },
            [&begin[..], &[4, 2], &stamps].concat(),
        ),
        (
            "SYN without SACK",
            TcpOptions { timestamps, sack_permitted: false, ..syn },
            [&begin[..], &[1, 1], &stamps].concat(),
        ),
        (
            "signed SYN, where no list may end before the signature",
            TcpOptions { auth: Some(AuthKind::Md5), ..syn },
            [&begin[..], &[1, 1, 4, 2], &[1, 1, 19, 18], &[0; 16]].concat(),
        ),
    ] {
        assert_eq!(emitted(&options), want, "{name}");
        let read = TcpOptions { order: OptionOrder::Linux, ..options };
        assert_eq!(TcpOptions::parse(&want), read, "{name}");
    }
}

#[test]
fn the_oldest_blocks_give_way() {
    let four = [(1, 2), (3, 4), (5, 6), (7, 8)];
    let without = TcpOptions { sack_blocks: blocks(&four), ..NONE };
    assert_eq!(emitted(&without).len(), 36);
    assert_eq!(TcpOptions::parse(&emitted(&without)), without);
    let with = TcpOptions { timestamps: Some(STAMPS), ..without };
    assert_eq!(emitted(&with).len(), MAX_LEN);
    assert_eq!(TcpOptions::parse(&emitted(&with)).sack_blocks, blocks(&four[..3]));
    let fifth = SackBlock { left: Seq(9), right: Seq(10) };
    assert_eq!(blocks(&four).push(fifth), Err(fifth));
}

proptest! {
    #[test]
    fn everything_we_emit_is_read_back(options in some_options(), free_bsd: bool) {
        let order = if free_bsd { OptionOrder::FreeBsd } else { OptionOrder::Linux };
        let bytes = emitted(&TcpOptions { order, ..options });
        prop_assert!(bytes.len() <= MAX_LEN && bytes.len().is_multiple_of(4));
        let read = TcpOptions::parse(&bytes);
        let sent = options.sack_blocks.as_slice();
        let kept = read.sack_blocks.as_slice();
        prop_assert_eq!(kept, &sent[..kept.len()]);
        prop_assert!(kept.len() == sent.len() || bytes.len() + SACK_BLOCK_LEN > MAX_LEN);
        prop_assert_eq!(TcpOptions { sack_blocks: options.sack_blocks, ..read }, options);
        prop_assert_eq!(as_etherparse(&bytes), Ok(read));
    }

    /// Others that always find room leave enough for it, and SACK blocks get what is left.
    #[test]
    fn an_accecn_option_is_read_back_beside_any_others(
        others in some_options(), counted: (u32, u32, u32), count in 0..=3_u8, ect0_first: bool,
    ) {
        let order = if ect0_first { FieldOrder::Ect0First } else { FieldOrder::Ect1First };
        let bytes = EcnBytes { ect0: counted.0, ce: counted.1, ect1: counted.2 };
        let option = AccurateEcnOption::new(order, bytes, count);
        let options = TcpOptions { accurate_ecn: Some(option), ..others };
        let bytes = emitted(&options);
        prop_assert!(bytes.len() <= MAX_LEN && bytes.len().is_multiple_of(4));
        let read = TcpOptions::parse(&bytes);
        let kept = read.sack_blocks.as_slice();
        prop_assert_eq!(kept, &others.sack_blocks.as_slice()[..kept.len()]);
        prop_assert_eq!(TcpOptions { sack_blocks: others.sack_blocks, ..read }, options);
        let told = [option.ect0(), option.ce(), option.ect1()];
        prop_assert_eq!(told.iter().flatten().count(), usize::from(count));
        prop_assert!(told.iter().flatten().all(|&field| field <= FIELD_MAX));
    }

    #[test]
    fn the_short_cut_says_what_the_walk_says(
        head in prop::sample::select(vec![vec![], vec![1, 1, 8, 10]]), tail in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let bytes = [head, tail].concat();
        prop_assert_eq!(TcpOptions::parse(&bytes), TcpOptions::walk(&bytes));
    }

    /// Bytes that are nearly options: known kinds and likely lengths.
    #[test]
    fn what_etherparse_accepts_we_read_the_same(bytes in nearly_options()) {
        if let Ok(theirs) = as_etherparse(&bytes) {
            prop_assert_eq!(TcpOptions::parse(&bytes), theirs);
        }
    }

    #[test]
    fn what_smoltcp_accepts_we_read_the_same(bytes in nearly_options()) {
        if let Ok(theirs) = as_smoltcp(&bytes) {
            prop_assert_eq!(TcpOptions::parse(&bytes), theirs);
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_whole_or_in_part(bytes in prop::collection::vec(any::<u8>(), 0..=MAX_LEN)) {
        let options = TcpOptions::parse(&bytes);
        prop_assert!(options.window_scale.is_none_or(|shift| shift <= MAX_WINDOW_SCALE));
        prop_assert_ne!(options.max_segment_size, Some(0));
    }
}

fn as_etherparse(bytes: &[u8]) -> Result<TcpOptions, etherparse::TcpOptionReadError> {
    let mut options = NONE;
    for element in TcpOptionsIterator::from_slice(bytes) {
        match element? {
            TcpOptionElement::Noop => {}
            TcpOptionElement::MaximumSegmentSize(0) => {}
            TcpOptionElement::MaximumSegmentSize(size) => options.max_segment_size = Some(size),
            TcpOptionElement::WindowScale(shift) => options.window_scale = Some(shift.min(14)),
            TcpOptionElement::SelectiveAcknowledgementPermitted => options.sack_permitted = true,
            TcpOptionElement::SelectiveAcknowledgement(first, rest) => {
                let all: Vec<_> = [Some(first)].into_iter().chain(rest).flatten().collect();
                options.sack_blocks = blocks(&all);
            }
            TcpOptionElement::Timestamp(value, echo) => {
                options.timestamps = Some(Timestamps { value, echo })
            }
        }
    }
    Ok(options)
}

fn as_smoltcp(mut bytes: &[u8]) -> Result<TcpOptions, smoltcp::wire::Error> {
    let mut options = NONE;
    while !bytes.is_empty() {
        let (rest, option) = TcpOption::parse(bytes)?;
        match option {
            TcpOption::EndOfList => break,
            TcpOption::MaxSegmentSize(0) => {}
            TcpOption::MaxSegmentSize(size) => options.max_segment_size = Some(size),
            TcpOption::WindowScale(shift) => options.window_scale = Some(shift.min(14)),
            TcpOption::SackPermitted => options.sack_permitted = true,
            TcpOption::TimeStamp { tsval, tsecr } => {
                options.timestamps = Some(Timestamps { value: tsval, echo: tsecr })
            }
            // It keeps three of four blocks and half blocks of zeros: no oracle for those.
            TcpOption::SackRange(_) => return Err(smoltcp::wire::Error),
            TcpOption::NoOperation | TcpOption::Unknown { .. } => {}
        }
        bytes = rest;
    }
    Ok(options)
}

fn some_options() -> impl Strategy<Value = TcpOptions> {
    let edges = prop::collection::vec(any::<(u32, u32)>(), 0..=MAX_SACK_BLOCKS);
    let stamps = prop::option::of(any::<(u32, u32)>());
    (prop::option::of(1..=u16::MAX), prop::option::of(0..=14_u8), any::<bool>(), stamps, edges)
        .prop_map(|(max_segment_size, window_scale, sack_permitted, stamps, edges)| TcpOptions {
            order: OptionOrder::Linux,
            fast_open: None,
            auth: None,
            max_segment_size,
            window_scale,
            sack_permitted,
            timestamps: stamps.map(|(value, echo)| Timestamps { value, echo }),
            accurate_ecn: None,
            sack_blocks: blocks(&edges),
        })
}

fn nearly_options() -> impl Strategy<Value = Vec<u8>> {
    let option = (
        0..10_u8,
        prop::sample::select(vec![2, 3, 4, 10, 18, 26, 34]),
        prop::collection::vec(any::<u8>(), 32),
    )
        .prop_map(|(kind, len, data)| match kind {
            0 | 1 => vec![kind],
            2 => [&[2, 4], &data[..2]].concat(),
            3 => [&[3, 3], &data[..1]].concat(),
            4 => vec![4, 2],
            8 => [&[8, 10], &data[..8]].concat(),
            _ => [&[kind, len], &data[..usize::from(len) - 2]].concat(),
        });
    prop::collection::vec(option, 0..6).prop_map(|options| {
        let mut bytes = options.concat();
        bytes.truncate(MAX_LEN);
        bytes
    })
}

fn emitted(options: &TcpOptions) -> Vec<u8> {
    let mut bytes = vec![0xaa; options.encoded_len()];
    options.emit(&mut bytes);
    bytes
}

fn blocks(edges: &[(u32, u32)]) -> SackBlocks {
    let mut blocks = SackBlocks::default();
    for &(left, right) in edges {
        blocks.push(SackBlock { left: Seq(left), right: Seq(right) }).unwrap();
    }
    blocks
}

const NONE: TcpOptions = TcpOptions {
    order: OptionOrder::Linux,
    fast_open: None,
    auth: None,
    max_segment_size: None,
    window_scale: None,
    sack_permitted: false,
    timestamps: None,
    accurate_ecn: None,
    sack_blocks: SackBlocks {
        blocks: [SackBlock { left: Seq(0), right: Seq(0) }; MAX_SACK_BLOCKS],
        count: 0,
    },
};
const STAMPS: Timestamps = Timestamps { value: 1, echo: 2 };
