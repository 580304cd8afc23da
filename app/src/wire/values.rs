//! What the options of `darner wire` are written like.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use pmd::sim::BurstLoss;

/// A value for each direction: `VALUE` for both, `THERE/BACK` for left to right and right to left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Both<T>(pub(crate) [T; 2]);

/// Bits per second: `10M`, `1.5Gbit`, `64000`; `none` is no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BitRate(pub(crate) Option<u64>);

/// A time with its unit: `20ms`, `50us`, `1.5s`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span(pub(crate) Duration);

/// A probability as a percentage: `0.1%`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

/// The room before a rate: `100` frames or `64KiB`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum QueueLimit {
    Frames(usize),
    Bytes(usize),
}

/// `SHARE,MEAN[,LOSS]`: how likely a frame begins a burst, how many frames it lasts in the mean, what share of them is lost; `none`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bursts(pub(crate) Option<BurstLoss>);

/// `SHARE,LATE`: which share of the frames is late, and by how much.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Late {
    pub(crate) share: Share,
    pub(crate) by: Span,
}

impl<T: Copy + FromStr<Err = String>> FromStr for Both<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((_, back)) if back.contains('/') => Err(format!(
                "\"{text}\" has more than two values: write one for both directions, or THERE/BACK"
            )),
            Some((there, back)) => Ok(Self([there.parse()?, back.parse()?])),
            None => text.parse().map(|value| Self([value, value])),
        }
    }
}

impl FromStr for BitRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let wrong = || {
            format!(
                "\"{text}\" is not a rate: write bits per second, such as 10M, 1.5G or 64k, or none"
            )
        };
        let number = text.strip_suffix("bit").unwrap_or(text);
        let (number, factor) = match number.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&number[..at], 1e3),
            Some((at, 'M')) => (&number[..at], 1e6),
            Some((at, 'G')) => (&number[..at], 1e9),
            _ => (number, 1.0),
        };
        let bits = positive(number).ok_or_else(wrong)? * factor;
        if !(MIN_RATE..=MAX_RATE).contains(&bits) {
            return Err(format!("\"{text}\" is not between 1000 bits and 1000 Gbit per second"));
        }
        Ok(Self(Some(Duration::from_secs_f64(bits).as_secs())))
    }
}

/// Below, a frame takes seconds; above, the machine is slower.
const MIN_RATE: f64 = 1e3;
const MAX_RATE: f64 = 1e12;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("\"{text}\" is not a time: write it with its unit, such as 20ms, 50us or 1.5s")
        };
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
        let split = units
            .iter()
            .find_map(|&(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)));
        let (number, unit) = split.ok_or_else(wrong)?;
        let seconds = positive(number).ok_or_else(wrong)? * unit;
        if seconds > LONGEST.as_secs_f64() {
            return Err(format!("\"{text}\" is longer than a minute"));
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

/// The longest delay: beyond, frames only fill memory.
const LONGEST: Duration = Duration::from_secs(60);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(0.0));
        }
        let number = text.strip_suffix('%').and_then(positive).filter(|percent| *percent <= 100.0);
        number.map(|percent| Self(percent / 100.0)).ok_or_else(|| {
            format!("\"{text}\" is not a share of the frames: write 0% to 100%, such as 0.1%")
        })
    }
}

impl FromStr for QueueLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("\"{text}\" is not a queue: write frames, such as 100, or bytes, such as 64KiB")
        };
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse() {
                Ok(frames) if frames > 0 => Ok(Self::Frames(frames)),
                _ => Err(wrong()),
            };
        }
        let size: ByteSize = text.parse().map_err(|_| wrong())?;
        match usize::try_from(size.as_u64()) {
            Ok(bytes) if bytes > 0 => Ok(Self::Bytes(bytes)),
            _ => Err(wrong()),
        }
    }
}

impl FromStr for Bursts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let parts: Vec<&str> = text.split(',').collect();
        let (begin, mean, loss) = match parts[..] {
            [begin, mean] => (begin, mean, "100%"),
            [begin, mean, loss] => (begin, mean, loss),
            _ => {
                return Err(format!(
                    "\"{text}\" is not SHARE,FRAMES[,LOSS]: write 0.1%,10 for a burst at each 1000th frame that loses ten in the mean"
                ));
            }
        };
        let mean =
            positive(mean).filter(|frames| (1.0..=1e6).contains(frames)).ok_or_else(|| {
                format!("\"{mean}\" is not the mean length of a burst: write 1 frame or more")
            })?;
        let (Share(begin), Share(loss)) = (begin.parse()?, loss.parse()?);
        Ok(Self(Some(BurstLoss { begin, end: 1.0 / mean, loss })))
    }
}

impl FromStr for Late {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.parse() == Ok(Share(0.0)) {
            return Ok(Self::default());
        }
        let (share, by) = text.split_once(',').ok_or_else(|| {
            format!("\"{text}\" is not SHARE,LATE: write 1%,5ms to make each 100th frame 5 ms late")
        })?;
        Ok(Self { share: share.parse()?, by: by.parse()? })
    }
}

/// A number that is zero or more, without sign and exponent.
fn positive(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_for_both_directions_and_two_are_apart() {
        let both = |there, back| Both([Span(there), Span(back)]);
        let ms = Duration::from_millis;
        assert_eq!("20ms".parse(), Ok(both(ms(20), ms(20))));
        assert_eq!("1.5s/300us".parse(), Ok(both(ms(1500), Duration::from_micros(300))));
        assert!("1ms/2ms/3ms".parse::<Both<Span>>().is_err());
        assert!("1ms/".parse::<Both<Span>>().is_err());
    }

    #[test]
    fn rates_are_bits_per_second() {
        for (text, want) in [
            ("64000", Some(64_000)),
            ("64k", Some(64_000)),
            ("1.5M", Some(1_500_000)),
            ("10Mbit", Some(10_000_000)),
            ("2G", Some(2_000_000_000)),
            ("none", None),
        ] {
            assert_eq!(text.parse(), Ok(BitRate(want)), "{text}");
        }
        for text in ["", "M", "0", "-1M", "1e9", "10MB", "10m", "inf", "2000G", "10 M"] {
            assert!(text.parse::<BitRate>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units_and_shares_percent_signs() {
        assert_eq!("0".parse(), Ok(Span(Duration::ZERO)));
        for text in ["", "20", "ms", "-1ms", "1m", "61s", "1e3us"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!("0.1%".parse(), Ok(Share(0.001)));
        assert_eq!("100%".parse(), Ok(Share(1.0)));
        for text in ["", "%", "1", "0.5", "101%", "-1%", "nan%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_queue_is_frames_or_bytes() {
        assert_eq!("100".parse(), Ok(QueueLimit::Frames(100)));
        assert_eq!("64KiB".parse(), Ok(QueueLimit::Bytes(65_536)));
        for text in ["", "0", "0KiB", "-1", "many"] {
            assert!(text.parse::<QueueLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn bursts_and_lateness_are_lists() {
        let burst = |begin, end, loss| Bursts(Some(BurstLoss { begin, end, loss }));
        assert_eq!("1%,10".parse(), Ok(burst(0.01, 0.1, 1.0)));
        assert_eq!("1%,10,50%".parse(), Ok(burst(0.01, 0.1, 0.5)));
        assert_eq!("none".parse(), Ok(Bursts(None)));
        for text in ["", "1%", "1%,0", "1,10", "1%,10,5", "1%,10,5%,1"] {
            assert!(text.parse::<Bursts>().is_err(), "{text}");
        }
        let late = Late { share: Share(0.01), by: Span(Duration::from_millis(5)) };
        assert_eq!("1%,5ms".parse(), Ok(late));
        assert_eq!("0%".parse(), Ok(Late::default()));
        assert!("1%".parse::<Late>().is_err());
    }
}
