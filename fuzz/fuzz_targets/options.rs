//! TCP options, read and written: any bytes are survived, mean what a plain walk over them says, and go through the writer unchanged.

#![no_main]

use darner::drops;

// The stack's own files: they are not part of its interface.
#[expect(dead_code, reason = "the stack uses more of it")]
#[path = "../../stack/src/tcp"]
mod tcp {
    pub(crate) mod seq;
}
#[expect(dead_code, unused_imports, reason = "the stack uses more of it")]
#[path = "../../stack/src/wire"]
mod wire {
    pub(crate) mod tcp;
    pub(crate) mod tcp_options;
}

use tcp::seq::Seq;
use wire::tcp::{Flags, TcpHeader, TcpView};
use wire::tcp_options::{
    AccurateEcnOption, AuthKind, EcnBytes, FIELD_MAX, FastOpenCookie, FastOpenForm, FastOpenOption,
    FieldOrder, SackBlock, SackBlocks, TcpOptions, Timestamps, accurate_ecn_len,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(TcpOptions::parse(bytes), walk(bytes));
    view_as_segment(bytes);
    for flags in [Flags::ACK, Flags::SYN] {
        let fits = &bytes[..bytes.len().min(40) / 4 * 4];
        go_through_a_header(fits, flags);
    }
});

/// Whatever the bytes are as a segment, its parts lie within them.
fn view_as_segment(bytes: &[u8]) {
    let Ok(view) = TcpView::parse(bytes) else { return };
    assert_eq!(view.header_len(), 20 + view.option_bytes().len());
    assert_eq!(view.header_len() + view.payload().len(), bytes.len());
    let _meaning = view.options();
}

/// A header with these options is read, written, and read again.
fn go_through_a_header(options: &[u8], flags: Flags) {
    let mut segment = vec![0; 20];
    segment[12] = (5 + options.len() as u8 / 4) << 4;
    segment[13] = flags.0 as u8;
    segment.extend(options);
    let view = TcpView::parse(&segment).expect("a header of the right length");
    let read = view.options();
    judge(&read, flags);

    let header = TcpHeader {
        source_port: 1,
        destination_port: 2,
        seq: Seq(3),
        ack: Seq(4),
        flags,
        window: 5,
        urgent_pointer: 6,
        options: read,
    };
    let mut written = vec![0xff; header.header_len()];
    header.emit(&mut written);
    let again = TcpView::parse(&written).expect("a header of our own");
    assert_eq!(again.option_bytes().len() % 4, 0);
    assert!(again.option_bytes().len() <= 40);
    // SACK blocks that find no room are left out from the end, and so is an AccECN option. Fast Open gives way to a signature, and half a
    // signature is not written.
    let auth = read.auth.filter(|auth| *auth != AuthKind::Malformed);
    let fast_open = read.fast_open.filter(|_| read.auth.is_none());
    let accurate_ecn = read.accurate_ecn.filter(|_| finds_room(&read));
    let sack_blocks = first(&read, &again.options());
    let want = TcpOptions { accurate_ecn, sack_blocks, fast_open, auth, ..read };
    assert_eq!(again.options(), want);
    assert!(again.options().sack_blocks.as_slice().len() >= that_fit(&read));
}

fn judge(read: &TcpOptions, flags: Flags) {
    assert_ne!(read.max_segment_size, Some(0), "a segment size of zero");
    assert!(read.window_scale.is_none_or(|shift| shift <= 14), "RFC 7323, section 2.3");
    let counters = read.accurate_ecn.map(|option| [option.ect0(), option.ce(), option.ect1()]);
    let mut counters = counters.iter().flatten().flatten();
    assert!(counters.all(|&bytes| bytes <= FIELD_MAX), "24 bits");
    if flags != Flags::SYN {
        let of_a_syn = (read.max_segment_size, read.window_scale, read.sack_permitted);
        assert_eq!(of_a_syn, (None, None, false), "only a SYN has them");
        assert_eq!(read.fast_open, None, "only a SYN has it");
    }
}

/// As many of the blocks that were read as were written.
fn first(read: &TcpOptions, written: &TcpOptions) -> SackBlocks {
    blocks(read.sack_blocks.as_slice().iter().take(written.sack_blocks.as_slice().len()).copied())
}

fn blocks(from: impl Iterator<Item = SackBlock>) -> SackBlocks {
    let mut blocks = SackBlocks::default();
    from.for_each(|block| blocks.push(block).expect("at most four"));
    blocks
}

/// How many blocks there must be room for: an option is padded to words, timestamps take three of the ten.
fn that_fit(options: &TcpOptions) -> usize {
    let fits = finds_room(options);
    let accurate = options.accurate_ecn.filter(|_| fits).map_or(0, |option| words_of(&option));
    let room = (10 - others(options) - accurate).saturating_sub(1) / 2;
    options.sack_blocks.as_slice().len().min(room)
}

fn finds_room(options: &TcpOptions) -> bool {
    options.accurate_ecn.is_none_or(|option| others(options) + words_of(&option) <= 10)
}

fn words_of(option: &AccurateEcnOption) -> usize {
    let fields = [option.ect0(), option.ce(), option.ect1()].iter().flatten().count();
    let words = (2 + 3 * fields).div_ceil(4);
    assert_eq!(accurate_ecn_len(fields as u8), 4 * words);
    words
}

/// Words of the options that always find room.
fn others(options: &TcpOptions) -> usize {
    let words = |present: bool, words: usize| if present { words } else { 0 };
    words(options.max_segment_size.is_some(), 1)
        + words(options.window_scale.is_some(), 1)
        + words(options.timestamps.is_some(), 3)
        + words(options.sack_permitted && options.timestamps.is_none(), 1)
        + options.auth.map_or(0, |auth| auth.encoded_len() / 4)
        + options.fast_open.filter(|_| options.auth.is_none()).map_or(0, |option| {
            let head = if option.form == FastOpenForm::Standard { 2 } else { 4 };
            (head + option.cookie.as_bytes().len()).div_ceil(4)
        })
}

/// What RFC 9293, section 3.2, has options mean, without haste.
fn walk(mut bytes: &[u8]) -> TcpOptions {
    let mut options = TcpOptions::default();
    while let Some(&kind) = bytes.first() {
        if kind == 0 {
            break;
        }
        if kind == 1 {
            bytes = &bytes[1..];
            continue;
        }
        let Some(len) = bytes.get(1).map(|&len| usize::from(len)) else { break };
        if len < 2 || len > bytes.len() {
            break;
        }
        let data = &bytes[2..len];
        let long =
            |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        match (kind, data.len()) {
            (2, 2) if data != [0, 0] => {
                options.max_segment_size = Some(u16::from(data[0]) << 8 | u16::from(data[1]));
            }
            (3, 1) => options.window_scale = Some(data[0].min(14)),
            (4, 0) => options.sack_permitted = true,
            (5, 8 | 16 | 24 | 32) => {
                let block = |at| SackBlock { left: Seq(long(at)), right: Seq(long(at + 4)) };
                options.sack_blocks = blocks((0..data.len()).step_by(8).map(block));
            }
            (34, 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16) => {
                options.fast_open = Some(fast_open(data, FastOpenForm::Standard));
            }
            (254, 2 | 6 | 8 | 10 | 12 | 14 | 16 | 18) if data[..2] == [0xf9, 0x89] => {
                options.fast_open = Some(fast_open(&data[2..], FastOpenForm::Experimental));
            }
            (172 | 174, _) => options.accurate_ecn = Some(accurate_ecn(kind, data)),
            (19 | 29, _) if options.auth.is_some() => options.auth = Some(AuthKind::Malformed),
            (19, 16) => options.auth = Some(AuthKind::Md5),
            (29, 14) => options.auth = Some(AuthKind::Ao),
            (19 | 29, _) => options.auth = Some(AuthKind::Malformed),
            (8, 8) => options.timestamps = Some(Timestamps { value: long(0), echo: long(4) }),
            _ => {}
        }
        bytes = &bytes[len..];
    }
    options
}

fn accurate_ecn(kind: u8, data: &[u8]) -> AccurateEcnOption {
    let field = |at: usize| {
        let bytes = data.get(3 * at..3 * at + 3).unwrap_or(&[0; 3]);
        bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
    };
    let count = (data.len() / 3).min(3) as u8;
    let (order, ect0, ect1) = match kind {
        172 => (FieldOrder::Ect0First, field(0), field(2)),
        _ => (FieldOrder::Ect1First, field(2), field(0)),
    };
    AccurateEcnOption::new(order, EcnBytes { ect0, ce: field(1), ect1 }, count)
}

fn fast_open(cookie: &[u8], form: FastOpenForm) -> FastOpenOption {
    FastOpenOption { cookie: FastOpenCookie::new(cookie).expect("an even number of bytes"), form }
}
