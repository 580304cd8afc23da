//! The AccECN options (RFC 9768, section 3.2.3): how many bytes have come, by the ECN field of the packets that brought them.

/// Up to three counters of 24 bits, those left out that stand last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AccurateEcnOption {
    pub(crate) order: FieldOrder,
    /// As they stand in the option; zero where there are fewer.
    fields: [u32; FIELDS],
    count: u8,
}

/// Which counter comes first. That of CE is always the second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FieldOrder {
    /// AccECN0: ECT(0), CE, ECT(1).
    Ect0First,
    /// AccECN1: ECT(1), CE, ECT(0).
    Ect1First,
}

/// What the fields count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct EcnBytes {
    pub(crate) ect0: u32,
    pub(crate) ce: u32,
    pub(crate) ect1: u32,
}

impl AccurateEcnOption {
    /// The first `count` fields, three at most, of what was counted.
    pub(crate) fn new(order: FieldOrder, counted: EcnBytes, count: u8) -> Self {
        let EcnBytes { ect0, ce, ect1 } = counted;
        let all = match order {
            FieldOrder::Ect0First => [ect0, ce, ect1],
            FieldOrder::Ect1First => [ect1, ce, ect0],
        };
        let mut option = Self { order, fields: [0; FIELDS], count: count.min(3) };
        let told = option.fields.iter_mut().zip(all).take(usize::from(option.count));
        told.for_each(|(field, value)| *field = value & FIELD_MAX);
        option
    }

    /// EE0B.
    pub(crate) fn ect0(&self) -> Option<u32> {
        self.field(if self.order == FieldOrder::Ect0First { 0 } else { 2 })
    }

    /// ECEB.
    pub(crate) fn ce(&self) -> Option<u32> {
        self.field(1)
    }

    /// EE1B.
    pub(crate) fn ect1(&self) -> Option<u32> {
        self.field(if self.order == FieldOrder::Ect0First { 2 } else { 0 })
    }

    fn field(&self, at: usize) -> Option<u32> {
        self.fields.get(..usize::from(self.count))?.get(at).copied()
    }

    /// What an option of this kind says, if it is one of these. Of one of a strange length the whole fields count that fit, three at most.
    pub(super) fn of(kind: u8, data: &[u8]) -> Option<Self> {
        let order = match kind {
            ACCECN0 => FieldOrder::Ect0First,
            ACCECN1 => FieldOrder::Ect1First,
            _ => return None,
        };
        let (whole, _) = data.as_chunks::<FIELD_LEN>();
        let mut option = Self { order, fields: [0; FIELDS], count: 0 };
        for (field, &[a, b, c]) in option.fields.iter_mut().zip(whole) {
            *field = u32::from_be_bytes([0, a, b, c]);
            option.count += 1;
        }
        Some(option)
    }

    /// Bytes that it takes, with the no-operations before it that make whole words.
    pub(crate) fn encoded_len(&self) -> usize {
        encoded_len(self.count)
    }

    /// Its words.
    pub(super) fn words(&self) -> impl Iterator<Item = [u8; 4]> + use<> {
        let mut bytes = [super::NO_OPERATION; ENCODED_MAX];
        let len = self.encoded_len();
        let option_len = 2 + FIELD_LEN * usize::from(self.count);
        let kind = if self.order == FieldOrder::Ect0First { ACCECN0 } else { ACCECN1 };
        let head = [kind, u8::try_from(option_len).unwrap_or(0)];
        let told = self.fields.iter().take(usize::from(self.count));
        let told = told.flat_map(|field| field.to_be_bytes().into_iter().skip(1));
        let places = bytes.iter_mut().skip(len - option_len);
        places.zip(head.into_iter().chain(told)).for_each(|(place, byte)| *place = byte);
        let (words, _) = bytes.as_chunks::<4>();
        let words: [[u8; 4]; ENCODED_MAX / 4] = [words[0], words[1], words[2]];
        words.into_iter().take(len / 4)
    }
}

/// Bytes that an option of so many fields takes.
pub(crate) fn encoded_len(fields: u8) -> usize {
    (2 + FIELD_LEN * usize::from(fields)).next_multiple_of(4)
}

/// The largest number that fits in a field.
pub(crate) const FIELD_MAX: u32 = (1 << 24) - 1;

const FIELDS: usize = 3;
const FIELD_LEN: usize = 3;
const ENCODED_MAX: usize = 12;
const ACCECN0: u8 = 172;
const ACCECN1: u8 = 174;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp_options::{MAX_LEN, TcpOptions};

    const COUNTED: EcnBytes = EcnBytes { ect0: 0x01_02_03, ce: 0x04_05_06, ect1: 0xff_07_08_09 };

    fn written(order: FieldOrder, count: u8) -> Vec<u8> {
        let option = AccurateEcnOption::new(order, COUNTED, count);
        let options = TcpOptions { accurate_ecn: Some(option), ..TcpOptions::default() };
        let mut bytes = vec![0; options.encoded_len()];
        options.emit(&mut bytes);
        assert_eq!(TcpOptions::parse(&bytes), options);
        bytes
    }

    /// Figure 4 and table 5.
    #[test]
    fn the_fields_stand_in_either_order_and_the_last_may_be_missing() {
        let (zero, one) = (FieldOrder::Ect0First, FieldOrder::Ect1First);
        assert_eq!(written(zero, 0), [1, 1, 172, 2]);
        assert_eq!(written(zero, 1), [1, 1, 1, 172, 5, 1, 2, 3]);
        assert_eq!(written(zero, 2), [172, 8, 1, 2, 3, 4, 5, 6]);
        assert_eq!(written(zero, 3), [1, 172, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(written(one, 1), [1, 1, 1, 174, 5, 7, 8, 9]);
        assert_eq!(written(one, 3), [1, 174, 11, 7, 8, 9, 4, 5, 6, 1, 2, 3]);
    }

    /// Section 3.2.3: "MUST use those whole 3-octet fields that fit".
    #[test]
    fn of_any_other_length_the_whole_fields_count() {
        for (len, want) in [
            (2, (None, None, None)),
            (3, (None, None, None)),
            (4, (None, None, None)),
            (5, (Some(1), None, None)),
            (7, (Some(1), None, None)),
            (8, (Some(1), Some(2), None)),
            (10, (Some(1), Some(2), None)),
            (11, (Some(1), Some(2), Some(3))),
            (20, (Some(1), Some(2), Some(3))),
        ] {
            let mut bytes = vec![172, len, 0, 0, 1, 0, 0, 2, 0, 0, 3];
            bytes.resize(usize::from(len), 9);
            let read = TcpOptions::parse(&bytes).accurate_ecn.unwrap();
            assert_eq!((read.ect0(), read.ce(), read.ect1()), want, "{len}");
        }
    }

    #[test]
    fn what_finds_no_room_is_left_out() {
        use crate::wire::tcp_options::{FastOpenCookie, FastOpenForm, FastOpenOption, Timestamps};
        let cookie = FastOpenCookie::new(&[7; 16]).unwrap();
        let full = TcpOptions {
            max_segment_size: Some(1460),
            window_scale: Some(8),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 1, echo: 0 }),
            fast_open: Some(FastOpenOption { cookie, form: FastOpenForm::Standard }),
            accurate_ecn: Some(AccurateEcnOption::new(FieldOrder::Ect0First, COUNTED, 0)),
            ..TcpOptions::default()
        };
        let mut bytes = vec![0; full.encoded_len()];
        full.emit(&mut bytes);
        assert_eq!(bytes.len(), MAX_LEN);
        assert_eq!(TcpOptions::parse(&bytes), TcpOptions { accurate_ecn: None, ..full });
    }
}
