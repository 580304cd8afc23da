//! Byte ranges (RFC 9110, section 14). One range is served; a request for several gets the whole.

/// What a `Range` field selects of a representation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Selection {
    /// Everything: no range, one that we ignore, or several.
    Whole,
    /// Bytes `start..end`, never empty.
    Part { start: u64, end: u64 },
    /// None of its bytes exist.
    Unsatisfiable,
}

impl Selection {
    /// Reads the value of a `Range` field for a representation of `length` bytes.
    ///
    /// A server ignores a range it does not understand (RFC 9110, section 14.2).
    pub(crate) fn of(range: Option<&str>, length: u64) -> Self {
        let Some(range) = range.and_then(single_byte_range) else { return Self::Whole };
        match range {
            ByteRange::From(first) if first >= length => Self::Unsatisfiable,
            ByteRange::From(first) => Self::Part { start: first, end: length },
            ByteRange::Between(first, _) if first >= length => Self::Unsatisfiable,
            ByteRange::Between(first, last) => {
                Self::Part { start: first, end: last.saturating_add(1).min(length) }
            }
            ByteRange::Last(0) => Self::Unsatisfiable,
            ByteRange::Last(_) if length == 0 => Self::Unsatisfiable,
            ByteRange::Last(count) => {
                Self::Part { start: length.saturating_sub(count), end: length }
            }
        }
    }
}

enum ByteRange {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

/// The only range in `bytes=...`, or `None` if it is malformed or has company.
fn single_byte_range(field: &str) -> Option<ByteRange> {
    let (unit, set) = field.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Some(ByteRange::Between(first, last)),
        (Some(first), None) if last.is_empty() => Some(ByteRange::From(first)),
        (None, Some(count)) if first.is_empty() => Some(ByteRange::Last(count)),
        _ => None,
    }
}

/// Digits only; a number too large for us is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_selects_bytes_that_exist() {
        use Selection::*;
        for (range, want) in [
            (None, Whole),
            (Some("bytes=0-0"), Part { start: 0, end: 1 }),
            (Some("bytes=0-9"), Part { start: 0, end: 10 }),
            (Some("bytes=5-"), Part { start: 5, end: 10 }),
            (Some("bytes=5-99"), Part { start: 5, end: 10 }),
            (Some("bytes=5-99999999999999999999999"), Part { start: 5, end: 10 }),
            (Some("bytes=-3"), Part { start: 7, end: 10 }),
            (Some("bytes=-99"), Part { start: 0, end: 10 }),
            (Some("Bytes = 1-2"), Part { start: 1, end: 3 }),
            (Some("bytes=10-"), Unsatisfiable),
            (Some("bytes=10-20"), Unsatisfiable),
            (Some("bytes=-0"), Unsatisfiable),
            (Some("bytes=5-4"), Whole),
            (Some("bytes=0-1,3-4"), Whole),
            (Some("bytes=-"), Whole),
            (Some("bytes=+1-2"), Whole),
            (Some("lines=1-2"), Whole),
            (Some("bytes"), Whole),
        ] {
            assert_eq!(Selection::of(range, 10), want, "{range:?}");
        }
    }

    #[test]
    fn nothing_of_an_empty_file_can_be_selected() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(Selection::of(Some(range), 0), Selection::Unsatisfiable, "{range}");
        }
    }
}
