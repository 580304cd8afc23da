//! `[tcp]`: settings of TCP that a profile begins with, and that few want to change.

use bytesize::ByteSize;
use darner::{ErrorMapping, OptionOrder, PushRule, TcpConfig};
use serde::Deserialize;

use crate::config::Text;
use crate::wire::Span;

/// The section. What is left out is as the profile has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TcpSection {
    option_order: Option<Stack>,
    errors: Option<Stack>,
    push: Option<Push>,
    quick_acks: Option<u8>,
    delayed_ack: Option<Text<Span>>,
    delay_fin_ack: Option<bool>,
    initial_rto: Option<Text<Span>>,
    min_rto: Option<Text<Span>>,
    initial_window: Option<u8>,
    syn_retries: Option<u8>,
    syn_ack_retries: Option<u8>,
    retries: Option<u8>,
    timestamps: Option<bool>,
    sack: Option<bool>,
    window_scaling: Option<bool>,
    receive_low_water: Option<Text<ByteSize>>,
    unsent_low_water: Option<Text<ByteSize>>,
}

/// Whose way it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Stack {
    Linux,
    FreeBsd,
}

/// Which segments have PSH.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Push {
    Trains,
    Written,
}

impl TcpSection {
    /// The profile's settings, with what the section says.
    pub(crate) fn over(&self, mut tcp: TcpConfig) -> TcpConfig {
        let span = |value: Option<Text<Span>>| value.map(|Text(Span(span))| span);
        let bytes = |Text(size): Text<ByteSize>| size.as_u64();
        set(&mut tcp.option_order, self.option_order.map(Into::into));
        set(&mut tcp.errors, self.errors.map(Into::into));
        set(&mut tcp.push, self.push.map(Into::into));
        set(&mut tcp.quick_acks, self.quick_acks);
        set(&mut tcp.delayed_ack, span(self.delayed_ack));
        set(&mut tcp.delay_fin_ack, self.delay_fin_ack);
        set(&mut tcp.initial_rto, span(self.initial_rto));
        set(&mut tcp.min_rto, span(self.min_rto));
        set(&mut tcp.initial_window, self.initial_window);
        set(&mut tcp.syn_retries, self.syn_retries);
        set(&mut tcp.syn_ack_retries, self.syn_ack_retries);
        set(&mut tcp.retries, self.retries);
        set(&mut tcp.timestamps, self.timestamps);
        set(&mut tcp.sack, self.sack);
        set(&mut tcp.window_scaling, self.window_scaling);
        let mark = self.receive_low_water.map(bytes);
        set(
            &mut tcp.receive_low_water,
            mark.map(|mark| usize::try_from(mark).unwrap_or(usize::MAX)),
        );
        let mark = self.unsent_low_water.map(bytes);
        set(
            &mut tcp.unsent_low_water,
            mark.map(|mark| Some(u32::try_from(mark).unwrap_or(u32::MAX))),
        );
        tcp
    }
}

fn set<T>(what: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *what = value;
    }
}

impl From<Stack> for OptionOrder {
    fn from(stack: Stack) -> Self {
        match stack {
            Stack::Linux => Self::Linux,
            Stack::FreeBsd => Self::FreeBsd,
        }
    }
}

impl From<Stack> for ErrorMapping {
    fn from(stack: Stack) -> Self {
        match stack {
            Stack::Linux => Self::Linux,
            Stack::FreeBsd => Self::FreeBsd,
        }
    }
}

impl From<Push> for PushRule {
    fn from(push: Push) -> Self {
        match push {
            Push::Trains => Self::Trains,
            Push::Written => Self::Written,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use darner::Profile;

    use super::*;

    #[test]
    fn what_the_section_says_counts_and_the_rest_is_the_profiles() {
        let section = r#"
            option-order = "freebsd"
            push = "written"
            delayed-ack = "5ms"
            delay-fin-ack = false
            unsent-low-water = "16KiB"
        "#;
        let section: TcpSection = toml::from_str(section).unwrap();
        let tcp = section.over(Profile::Linux.config());
        assert_eq!((tcp.option_order, tcp.push), (OptionOrder::FreeBsd, PushRule::Written));
        assert_eq!((tcp.delayed_ack, tcp.delay_fin_ack), (Duration::from_millis(5), false));
        assert_eq!((tcp.unsent_low_water, tcp.receive_low_water), (Some(16 << 10), 1));
        assert_eq!(tcp.errors, ErrorMapping::Linux);
        assert_eq!(tcp.min_rto, Duration::from_millis(200));
    }

    #[test]
    fn a_time_has_its_unit() {
        let error = toml::from_str::<TcpSection>("min-rto = \"200\"").unwrap_err().to_string();
        assert!(error.contains("write it with its unit"), "{error}");
    }
}
