//! Which feedback two sides agree on (RFC 9768, sections 3.1.2 and 3.1.3, table 2; RFC 3168, section 6.1.1): flags of SYN and SYN-ACK as a pure function.

use crate::ip::Ecn;
use crate::tcp::config::EcnPolicy;
use crate::wire::tcp::Flags;

/// How a connection feeds marks back, and from the side that connects, what its SYN asks for. The lesser is what both can do.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::tcp) enum Mode {
    /// Not at all.
    #[default]
    Off,
    /// One mark in a round trip (RFC 3168).
    Classic,
    /// Every mark (RFC 9768).
    Accurate,
}

/// What a SYN-ACK says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Off,
    Classic,
    /// And how the SYN has arrived.
    Accurate(Ecn),
}

impl Mode {
    /// What our own SYNs ask for.
    pub(in crate::tcp) fn of_policy(policy: EcnPolicy) -> Self {
        match policy {
            EcnPolicy::Off | EcnPolicy::WhenAsked => Self::Off,
            EcnPolicy::Ask => Self::Classic,
            EcnPolicy::AskAccurate => Self::Accurate,
        }
    }

    /// What a listener makes of a SYN. Combinations that nobody sends today MUST be taken for AccECN (section 3.1.3).
    pub(in crate::tcp) fn asked_by(syn: Flags, policy: EcnPolicy) -> Self {
        match syn.ecn() {
            _ if policy == EcnPolicy::Off => Self::Off,
            Flags::NONE => Self::Off,
            CLASSIC => Self::Classic,
            _ => Self::Accurate,
        }
    }

    /// The flags of a SYN that asks for it.
    pub(super) fn asks(self) -> Flags {
        match self {
            Self::Off => Flags::NONE,
            Self::Classic => CLASSIC,
            Self::Accurate => ACCURATE,
        }
    }
}

impl Answer {
    /// What the answer to a SYN that has asked for `asked` means. One that mirrors the SYN comes from a host that knows nothing of it. Classic
    /// feedback has never looked at the third bit.
    pub(super) fn of(asked: Mode, syn_ack: Flags) -> Self {
        let third = if asked == Mode::Accurate { Flags::AE } else { Flags::NONE };
        let flags = Flags(syn_ack.ecn().0 & (CLASSIC | third).0);
        match (asked, flags) {
            (Mode::Classic | Mode::Accurate, Flags::ECE) => Self::Classic,
            (Mode::Accurate, RESERVED) => Self::Accurate(SYNS_ARE_SENT),
            (Mode::Accurate, flags) => arrived_as(flags).map_or(Self::Off, Self::Accurate),
            _ => Self::Off,
        }
    }

    /// The flags of the SYN-ACK that says it.
    pub(super) fn flags(self) -> Flags {
        match self {
            Self::Off => Flags::NONE,
            Self::Classic => Flags::ECE,
            Self::Accurate(syn) => arrival(syn),
        }
    }
}

/// How a SYN-ACK, or the ACK of one, says how what it answers has arrived (tables 2 and 3).
pub(super) fn arrival(ecn: Ecn) -> Flags {
    match ecn {
        Ecn::NotCapable => Flags::CWR,
        Ecn::Capable1 => Flags::CWR | Flags::ECE,
        Ecn::Capable => Flags::AE,
        Ecn::Marked => Flags::AE | Flags::CWR,
    }
}

/// The same, read.
pub(super) fn arrived_as(flags: Flags) -> Option<Ecn> {
    let all = [Ecn::NotCapable, Ecn::Capable1, Ecn::Capable, Ecn::Marked];
    all.into_iter().find(|&ecn| arrival(ecn) == flags.ecn())
}

/// Neither our SYNs nor our SYN-ACKs may be marked (RFC 3168, section 6.1.1): any other arrival was made on the way.
pub(super) const SYNS_ARE_SENT: Ecn = Ecn::NotCapable;

const CLASSIC: Flags = Flags(Flags::ECE.0 | Flags::CWR.0);
const ACCURATE: Flags = Flags(Flags::AE.0 | CLASSIC.0);
/// That of a server with ECN nonces, once.
const RESERVED: Flags = Flags(Flags::AE.0 | Flags::ECE.0);

#[cfg(test)]
mod tests {
    use super::*;
    use EcnPolicy::{Ask, AskAccurate, WhenAsked};

    /// As the tables write them: AE, CWR, ECE.
    fn flags(bits: u16) -> Flags {
        let bit = |at: u16, flag: Flags| if bits >> at & 1 == 1 { flag } else { Flags::NONE };
        bit(2, Flags::AE) | bit(1, Flags::CWR) | bit(0, Flags::ECE)
    }

    /// Table 2, block by block, as the client sees it.
    #[test]
    fn section_3_1_2_table_2_the_client_enters_the_mode_of_the_syn_ack() {
        for (answer, want) in [
            (0b010, Answer::Accurate(Ecn::NotCapable)),
            (0b011, Answer::Accurate(Ecn::Capable1)),
            (0b100, Answer::Accurate(Ecn::Capable)),
            (0b110, Answer::Accurate(Ecn::Marked)),
            (0b101, Answer::Accurate(Ecn::NotCapable)),
            (0b001, Answer::Classic),
            (0b000, Answer::Off),
            (0b111, Answer::Off),
        ] {
            assert_eq!(Answer::of(Mode::Accurate, flags(answer)), want, "{answer:03b}");
        }
    }

    #[test]
    fn section_3_1_2_table_2_the_server_answers_what_the_syn_asks_for() {
        for policy in [WhenAsked, Ask, AskAccurate] {
            for (syn, want) in [(0b111, Mode::Accurate), (0b011, Mode::Classic), (0b000, Mode::Off)]
            {
                assert_eq!(Mode::asked_by(flags(syn), policy), want, "{syn:03b}");
            }
        }
        for syn in 0..8 {
            assert_eq!(Mode::asked_by(flags(syn), EcnPolicy::Off), Mode::Off, "{syn:03b}");
        }
    }

    #[test]
    fn section_3_1_3_what_nobody_sends_yet_is_taken_for_accecn() {
        for syn in [0b001, 0b010, 0b100, 0b101, 0b110] {
            assert_eq!(Mode::asked_by(flags(syn), WhenAsked), Mode::Accurate, "{syn:03b}");
        }
    }

    #[test]
    fn section_3_1_1_a_syn_ack_says_how_the_syn_has_arrived() {
        for (ecn, want) in [
            (Ecn::NotCapable, 0b010),
            (Ecn::Capable1, 0b011),
            (Ecn::Capable, 0b100),
            (Ecn::Marked, 0b110),
        ] {
            assert_eq!(Answer::Accurate(ecn).flags(), flags(want));
            assert_eq!(arrived_as(flags(want)), Some(ecn));
        }
        for none in [0b000, 0b001, 0b101, 0b111] {
            assert_eq!(arrived_as(flags(none)), None, "{none:03b}");
        }
    }

    #[test]
    fn a_client_of_rfc_3168_does_not_look_at_the_third_bit() {
        for (answer, want) in [
            (0b001, Answer::Classic),
            (0b101, Answer::Classic),
            (0b000, Answer::Off),
            (0b011, Answer::Off),
            (0b010, Answer::Off),
            (0b111, Answer::Off),
        ] {
            assert_eq!(Answer::of(Mode::Classic, flags(answer)), want, "{answer:03b}");
            assert_eq!(Answer::of(Mode::Off, flags(answer)), Answer::Off, "{answer:03b}");
        }
    }
}
