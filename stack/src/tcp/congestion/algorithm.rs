//! Which congestion control a connection uses, by name.

use std::fmt;
use std::str::FromStr;

use super::any_controller::AnyController;
use super::bbr::Bbr;
use super::controller::Start;
use super::cubic::Cubic;
use super::dctcp::Dctcp;
use super::new_reno::NewReno;

/// A controller for a connection that is about to send its first data.
pub(crate) fn new(algorithm: Algorithm, start: Start) -> AnyController {
    match algorithm {
        Algorithm::Cubic => AnyController::Cubic(Cubic::new(start)),
        Algorithm::NewReno => AnyController::NewReno(NewReno::new(start)),
        Algorithm::Bbr => AnyController::Bbr(Bbr::new(start)),
        Algorithm::Dctcp => AnyController::Dctcp(Dctcp::new(start)),
    }
}

/// A congestion control algorithm.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// CUBIC (RFC 9438), with HyStart++ (RFC 9406): for the internet, as most systems have it.
    #[default]
    Cubic,
    /// NewReno (RFC 5681): the yardstick.
    NewReno,
    /// BBR, version 1: goes by measured bandwidth and delay instead of losses, and paces.
    Bbr,
    /// DCTCP (RFC 8257): for data centres whose switches mark early. Needs ECN, and is unfair to others elsewhere.
    Dctcp,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Cubic, Self::NewReno, Self::Bbr, Self::Dctcp];

    /// The name that it is chosen by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "reno",
            Self::Bbr => "bbr",
            Self::Dctcp => "dctcp",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        known.ok_or_else(|| UnknownAlgorithm(name.into()))
    }
}

/// There is no congestion control of this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no congestion control is called {0:?}: there are cubic, reno, bbr and dctcp")]
pub struct UnknownAlgorithm(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::congestion::controller::Controller;
    use crate::tcp::congestion::fixture::{MSS, START};

    #[test]
    fn every_algorithm_is_chosen_by_the_name_that_it_shows() {
        for (name, algorithm) in [
            ("cubic", Algorithm::Cubic),
            ("reno", Algorithm::NewReno),
            ("bbr", Algorithm::Bbr),
            ("dctcp", Algorithm::Dctcp),
        ] {
            assert_eq!(name.parse(), Ok(algorithm));
            assert_eq!(algorithm.to_string(), name);
            let controller = new(algorithm, START);
            assert_eq!((controller.name(), controller.window()), (name, 10 * MSS));
            assert_eq!(controller.owns_recovery(), algorithm == Algorithm::Bbr);
            assert_eq!(controller.pacing_rate().is_some(), algorithm == Algorithm::Bbr);
        }
        assert_eq!(Algorithm::default(), Algorithm::Cubic);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "vegas".parse::<Algorithm>().unwrap_err().to_string();
        assert!(error.contains("\"vegas\""), "{error}");
        for algorithm in Algorithm::ALL {
            assert!(error.contains(algorithm.name()), "{error} lacks {algorithm}");
        }
    }
}
