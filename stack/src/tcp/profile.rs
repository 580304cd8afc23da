//! Presets of [`TcpConfig`] that look and feel like another stack's defaults.

use std::str::FromStr;
use std::time::Duration;

use super::config::{EcnPolicy, ErrorMapping, PushRule, TcpConfig};
use crate::wire::tcp_options::OptionOrder;

/// Whose defaults TCP begins with. Each setting can be changed afterwards.
///
/// A preset sets what peers and programs can tell stacks apart by. What only makes darner better, such as loss recovery and its defences, is the
/// same in all of them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Profile {
    /// [`TcpConfig::default`]: Linux 6.
    #[default]
    Linux,
    /// FreeBSD 14.
    FreeBsd,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Linux, Self::FreeBsd];

    /// As it is chosen: `linux` or `freebsd`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::FreeBsd => "freebsd",
        }
    }

    /// The settings.
    pub fn config(self) -> TcpConfig {
        match self {
            Self::Linux => TcpConfig::default(),
            Self::FreeBsd => free_bsd(),
        }
    }
}

/// By tcp(4) and ip(4) of FreeBSD 14, where not said otherwise.
fn free_bsd() -> TcpConfig {
    TcpConfig {
        option_order: OptionOrder::FreeBsd,
        errors: ErrorMapping::FreeBsd,
        push: PushRule::Written,
        quick_acks: 0,
        delayed_ack: Duration::from_millis(40),
        delay_fin_ack: false,
        // A slop of 200 ms, and 30 ms where the round trip is shorter.
        min_rto: Duration::from_millis(230),
        max_rto: Duration::from_secs(64),
        // `keepinit` gives up after 75 s: as near as doubling comes.
        syn_retries: 5,
        syn_ack_retries: 3,
        retries: 12,
        keepalive_probes: 8,
        receive_buffer: 64 << 10,
        receive_buffer_max: 2 << 20,
        send_buffer: 32 << 10,
        send_buffer_max: 2 << 20,
        ecn: EcnPolicy::WhenAsked,
        ephemeral_ports: 10_000..=65_535,
        ..TcpConfig::default()
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let known = Self::ALL.into_iter().find(|profile| profile.name() == name);
        known.ok_or_else(|| UnknownProfile(name.into()))
    }
}

/// There is no profile of this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no profile is called {0:?}: there are linux and freebsd")]
pub struct UnknownProfile(String);

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::tcp::harness::Harness;

    #[test]
    fn every_profile_runs_and_is_chosen_by_its_name() {
        for profile in Profile::ALL {
            profile.config().check().unwrap();
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        let error = "beos".parse::<Profile>().unwrap_err().to_string();
        assert!(error.contains("linux and freebsd"), "{error}");
    }

    fn connected(profile: Profile) -> Harness {
        let mut t = Harness::connecting(&profile.config());
        t.sent();
        t.input("SA 0 ack 1 mss 1000 wscale 6").unwrap();
        t.sent();
        t
    }

    /// What a peer sees of each.
    #[test]
    fn profiles_differ_on_the_wire() {
        for (profile, options, first_acks, pushed) in [
            (
                Profile::Linux,
                &[2, 4, 5, 180, 4, 2, 8, 10][..],
                &["A 1 ack 11", "A 1 ack 12"][..],
                2,
            ),
            (Profile::FreeBsd, &[2, 4, 5, 180, 1, 3, 3, 6, 4, 2, 8, 10], &["A 1 ack 12"], 1),
        ] {
            let mut t = Harness::connecting(&profile.config());
            assert!(t.last().option_bytes.starts_with(options), "{profile:?}");
            let mut t = Harness::listening(&profile.config(), 1);
            t.input("S 0 mss 1000 wscale 6 ts 1:0").unwrap();
            let rest = t.last().option_bytes;
            assert!(rest.starts_with(&options[..4]), "{profile:?}");
            let mut t = connected(profile);
            t.input("PA 1+10 ack 1").unwrap();
            let mut acks = t.sent();
            t.input("FA 11 ack 1").unwrap();
            acks.extend(t.sent());
            assert_eq!(acks, first_acks, "{profile:?}: quick ACKs, and that of a FIN");
            t.write(10_000);
            let sent = t.sent();
            let with_push = sent.iter().filter(|segment| segment.starts_with('P')).count();
            assert_eq!((sent.len(), with_push), (10, pushed), "{profile:?}");
        }
    }

    /// What a program is told by each.
    #[test]
    fn profiles_differ_in_what_a_late_reset_is_called() {
        let late_reset = |profile| {
            let mut t = connected(profile);
            t.input("FA 1 ack 1").unwrap();
            t.input("R 2").unwrap();
            t
        };
        let mut linux = late_reset(Profile::Linux);
        assert_eq!(linux.read(1).unwrap(), 0, "the stream had ended");
        assert_eq!(linux.stream().take_error().unwrap().kind(), ErrorKind::BrokenPipe);
        let mut free_bsd = late_reset(Profile::FreeBsd);
        assert_eq!(free_bsd.read(1).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
