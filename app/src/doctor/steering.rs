//! Whether the device takes packets to the cores that own them: a stack runs on it for a moment, and is told.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use darner::{Stack, Verdict};

use super::finding::{Finding, Need};
use crate::device::Queues;
use crate::run;
use crate::settings::Settings;

/// Runs a stack over the device's queues, and ends it.
pub(super) fn check(settings: &Settings, queues: Queues) -> Finding {
    match verdict(settings, queues) {
        Ok(verdict) => judge(&verdict),
        Err(error) => Finding::missing(
            Need::Asked,
            format!("no stack starts on the device: {error}"),
            "do what the message says",
        ),
    }
}

fn verdict(settings: &Settings, queues: Queues) -> io::Result<Verdict> {
    let stack = Stack::start(&settings.stack, queues)?;
    let deadline = Instant::now() + ASK_FOR;
    // Whoever refuses a connection sends a packet with ports, by which the device is checked; several reach every core.
    for _ in 0..CONNECTIONS {
        if !is_worth_asking(&stack.snapshot().steering) || Instant::now() >= deadline {
            break;
        }
        let _ = stack.connect_timeout(peer(settings), ANSWER_WITHIN);
    }
    let verdict = stack.snapshot().steering;
    stack.stop(Duration::ZERO);
    stack.join().map_err(io::Error::other)?;
    Ok(verdict)
}

/// Whether packets can change the verdict.
fn is_worth_asking(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Unproved | Verdict::Verified { .. })
}

/// The gateway, or else the first neighbour; both where nobody is likely to listen.
fn peer(settings: &Settings) -> SocketAddr {
    let neighbour = settings.stack.addresses.first().map(|&ours| run::neighbour_of(ours));
    let address = settings.stack.gateway.or(neighbour).unwrap_or(Ipv4Addr::LOCALHOST);
    SocketAddr::new(IpAddr::V4(address), DISCARD)
}

fn judge(verdict: &Verdict) -> Finding {
    match verdict {
        Verdict::OneCore | Verdict::Verified { .. } => Finding::good(verdict.to_string()),
        Verdict::Unproved => Finding::note(
            verdict.to_string(),
            "name a --gateway that answers, or look at `darner stat` under traffic",
        ),
        Verdict::FewerQueues { queues, .. } => Finding::note(
            verdict.to_string(),
            format!("nothing is lost but time; as few cores as queues ({queues}) would need none"),
        ),
        _ => Finding::note(
            verdict.to_string(),
            "nothing is lost but time; one core, or a NIC that spreads flows by a key of ours, would need none",
        ),
    }
}

const ASK_FOR: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
const CONNECTIONS: u32 = 64;
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::super::fake::expect;
    use super::super::finding::Grade::{Good, Note};
    use super::*;

    #[test]
    fn a_device_that_is_not_trusted_is_noted() {
        let finding = |verdict| [judge(&verdict)];
        expect(&finding(Verdict::OneCore), Good, &["one core"]);
        expect(&finding(Verdict::Verified { packets: 9 }), Good, &["RSS verified: 9 packets"]);
        expect(&finding(Verdict::Unproved), Note, &["no packet", "--gateway"]);
        let fewer = Verdict::FewerQueues { queues: 1, cores: 2 };
        expect(
            &finding(fewer),
            Note,
            &["1 queue for 2 cores", "in software", "as few cores as queues (1)"],
        );
        for verdict in [
            Verdict::NotScaled("no RSS by a key of ours".to_owned()),
            Verdict::AddressesOnly,
            Verdict::Differs { packets: 3 },
        ] {
            expect(&finding(verdict), Note, &["steering in software", "nothing is lost but time"]);
        }
    }

    #[test]
    fn the_gateway_is_asked_first() {
        let flags = |gateway: Option<&str>| crate::cli::StackOptions {
            address: vec!["10.1.0.2/24".parse().unwrap()],
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            ..Default::default()
        };
        let peer = |gateway| peer(&Settings::load(&flags(gateway)).unwrap()).to_string();
        assert_eq!(peer(None), "10.1.0.1:9");
        assert_eq!(peer(Some("10.1.0.254")), "10.1.0.254:9");
    }
}
