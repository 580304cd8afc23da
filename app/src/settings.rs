//! What the configuration file and the flags come to.

use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::ValueEnum;
use darner::{Config, Ipv4Prefix, TcpConfig};
use pmd::dpdk::DeviceSpec;
use serde::Deserialize;

use crate::cli::StackOptions;
use crate::config::{ConfigFile, Text};
use crate::failure::Failure;
use crate::stat;

/// Everything needed to open the device and to start the stack.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) device: DeviceSpec,
    pub(crate) huge_pages: HugePages,
    pub(crate) pcap: Option<PathBuf>,
    /// Queues of the device to use, if not one for each core.
    pub(crate) queues: Option<NonZero<u16>>,
    /// `None`: no one can ask.
    pub(crate) stat_socket: Option<PathBuf>,
    pub(crate) stack: Config,
    /// The file, for the sections of the single programs.
    pub(crate) file: ConfigFile,
}

/// Whether DPDK's memory is to be huge pages.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HugePages {
    /// If the kernel has enough of them.
    #[default]
    Auto,
    /// Or not at all.
    Always,
    Never,
}

/// What a protocol thread does without work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Idle {
    /// Lowest latency, a whole CPU.
    Spin,
    /// Take what CPU time others leave.
    Yield,
    /// Spin and yield for a moment, then sleep until there is work.
    Sleep,
}

/// Whether connections take part in explicit congestion notification.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ecn {
    /// Never.
    Off,
    /// Those of peers who ask for it.
    WhenAsked,
    /// Ours ask for it too.
    Ask,
    /// Ours ask for accurate feedback (AccECN).
    AskAccurate,
}

/// Whether TCP finds out by itself how large a packet a path carries.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MtuProbing {
    /// Routers tell it, or nobody does.
    Off,
    /// Where full segments vanish.
    OnBlackHole,
    /// On every path.
    Always,
}

/// CPUs, as in `0,2-3`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CpuList(pub(crate) Vec<usize>);

/// Not a list of CPUs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadCpuList {
    #[error("CPUs are numbers and ranges, such as 1 or 0,2-3")]
    Syntax,
    #[error("a CPU stands twice in the list")]
    Twice,
}

/// The largest CPU number that Linux can be built for.
const CPU_MAX: usize = 8191;

impl Settings {
    /// Reads the file, if one is named, and lets the flags override it.
    pub(crate) fn load(flags: &StackOptions) -> Result<Self, Failure> {
        let file = flags.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        Ok(Self::merge(flags, file))
    }

    /// How many protocol threads there are.
    pub(crate) fn cores(&self) -> usize {
        self.stack.cores.len().max(1)
    }

    fn merge(flags: &StackOptions, file: ConfigFile) -> Self {
        let text =
            |value: &Option<Text<DeviceSpec>>| value.as_ref().map(|Text(value)| value.clone());
        let device =
            flags.device.clone().or_else(|| text(&file.device)).unwrap_or_else(default_device);
        let stat_socket = flags.stat_socket.clone().or_else(|| file.stat_socket.clone());
        Self {
            huge_pages: flags.huge_pages.chosen().or(file.huge_pages).unwrap_or_default(),
            queues: flags.queues.or(file.queues),
            pcap: flags.pcap.clone().or_else(|| file.pcap.clone()),
            stat_socket: (!flags.no_stat)
                .then(|| stat_socket.unwrap_or_else(|| stat::default_socket(&device))),
            stack: stack_config(flags, &file),
            device,
            file,
        }
    }
}

fn stack_config(flags: &StackOptions, file: &ConfigFile) -> Config {
    let addresses = match (flags.address.as_slice(), file.address.0.as_slice()) {
        ([], []) => vec![default_address()],
        ([], from_file) => from_file.iter().map(|Text(address)| *address).collect(),
        (from_flags, _) => from_flags.to_vec(),
    };
    let cores = flags.cores.as_ref().or(file.cores.as_ref().map(|Text(cores)| cores));
    let size = |flag: Option<ByteSize>, file: Option<Text<ByteSize>>, default| {
        let chosen = flag.or(file.map(|Text(size)| size));
        chosen.map_or(default, |size| usize::try_from(size.as_u64()).unwrap_or(usize::MAX))
    };
    let congestion = flags.congestion.or(file.congestion.as_ref().map(|Text(name)| *name));
    let profile = flags.profile.or(file.profile.map(|Text(profile)| profile));
    let tcp = file.tcp.over(profile.unwrap_or_default().config());
    Config {
        addresses,
        gateway: flags.gateway.or(file.gateway),
        cores: cores.map(|CpuList(cpus)| cpus.clone()).unwrap_or_default(),
        idle: flags.idle.or(file.idle).map_or_else(darner::Idle::default, Into::into),
        mtu: flags.mtu.or(file.mtu),
        tcp: TcpConfig {
            receive_buffer: size(flags.receive_buffer, file.receive_buffer, tcp.receive_buffer),
            receive_buffer_max: size(
                flags.receive_buffer_max,
                file.receive_buffer_max,
                tcp.receive_buffer_max,
            ),
            send_buffer: size(flags.send_buffer, file.send_buffer, tcp.send_buffer),
            send_buffer_max: size(flags.send_buffer_max, file.send_buffer_max, tcp.send_buffer_max),
            congestion: congestion.unwrap_or(tcp.congestion),
            ecn: flags.ecn.or(file.ecn).map_or(tcp.ecn, Into::into),
            mtu_probing: flags.mtu_probing.or(file.mtu_probing).map_or(tcp.mtu_probing, Into::into),
            ..tcp
        },
        ..Config::default()
    }
}

fn default_device() -> DeviceSpec {
    DeviceSpec::Tap { interface: "dtap0".to_owned(), options: Vec::new() }
}

fn default_address() -> Ipv4Prefix {
    "10.0.0.2/24".parse().expect("it is a prefix")
}

impl From<Idle> for darner::Idle {
    fn from(idle: Idle) -> Self {
        match idle {
            Idle::Spin => Self::Spin,
            Idle::Yield => Self::Yield,
            Idle::Sleep => Self::Sleep,
        }
    }
}

impl From<Ecn> for darner::EcnPolicy {
    fn from(ecn: Ecn) -> Self {
        match ecn {
            Ecn::Off => Self::Off,
            Ecn::WhenAsked => Self::WhenAsked,
            Ecn::Ask => Self::Ask,
            Ecn::AskAccurate => Self::AskAccurate,
        }
    }
}

impl From<MtuProbing> for darner::MtuProbing {
    fn from(probing: MtuProbing) -> Self {
        match probing {
            MtuProbing::Off => Self::Off,
            MtuProbing::OnBlackHole => Self::OnBlackHole,
            MtuProbing::Always => Self::Always,
        }
    }
}

impl From<HugePages> for pmd::dpdk::HugePages {
    fn from(huge_pages: HugePages) -> Self {
        match huge_pages {
            HugePages::Auto => Self::Auto,
            HugePages::Always => Self::Always,
            HugePages::Never => Self::Never,
        }
    }
}

impl FromStr for CpuList {
    type Err = BadCpuList;

    fn from_str(text: &str) -> Result<Self, BadCpuList> {
        let number = |text: &str| {
            let number: Option<usize> = text.trim().parse().ok();
            number.filter(|cpu| *cpu <= CPU_MAX).ok_or(BadCpuList::Syntax)
        };
        let mut cpus: Vec<usize> = vec![];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(BadCpuList::Syntax);
            }
            cpus.extend(first..=last);
        }
        let mut sorted = cpus.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() == cpus.len() { Ok(Self(cpus)) } else { Err(BadCpuList::Twice) }
    }
}

#[cfg(test)]
mod tests {
    use darner::CongestionAlgorithm;

    use super::*;

    #[test]
    fn cpu_lists_are_numbers_and_ranges() {
        for (text, want) in [
            ("1", Ok(vec![1])),
            ("0,2-3", Ok(vec![0, 2, 3])),
            ("3, 1", Ok(vec![3, 1])),
            ("", Err(BadCpuList::Syntax)),
            ("2-1", Err(BadCpuList::Syntax)),
            ("0-99999999999", Err(BadCpuList::Syntax)),
            ("a", Err(BadCpuList::Syntax)),
            ("0-2,1", Err(BadCpuList::Twice)),
        ] {
            assert_eq!(text.parse(), want.map(CpuList), "{text}");
        }
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let file = "device = \"memif:server\"\naddress = \"10.1.0.2/16\"\ncores = \"1\"\nsend-buffer = \"64KiB\"\nsend-buffer-max = \"1MiB\"\nprofile = \"freebsd\"\ncongestion = \"bbr\"\necn = \"ask-accurate\"\nmtu-probing = \"always\"\n[tcp]\nretries = 3\n";
        let file = || toml::from_str::<ConfigFile>(file).unwrap();
        let from_file = Settings::merge(&StackOptions::default(), file());
        assert_eq!(from_file.device.to_string(), "memif:server");
        assert_eq!(from_file.stack.addresses[0].to_string(), "10.1.0.2/16");
        assert_eq!(from_file.stack.cores, [1]);
        let tcp = from_file.stack.tcp;
        assert_eq!((tcp.send_buffer, tcp.send_buffer_max), (64 << 10, 1 << 20));
        assert_eq!(tcp.congestion, CongestionAlgorithm::Bbr);
        assert_eq!(tcp.ecn, darner::EcnPolicy::AskAccurate);
        assert_eq!(tcp.mtu_probing, darner::MtuProbing::Always);
        assert_eq!((tcp.quick_acks, tcp.receive_buffer, tcp.retries), (0, 64 << 10, 3));
        let flags = StackOptions {
            profile: Some(darner::Profile::Linux),
            congestion: Some(CongestionAlgorithm::Dctcp),
            ecn: Some(Ecn::Off),
            mtu_probing: Some(MtuProbing::Off),
            device: Some("tap:x".parse().unwrap()),
            address: vec!["10.2.0.2/16".parse().unwrap()],
            no_stat: true,
            ..StackOptions::default()
        };
        let from_flags = Settings::merge(&flags, file());
        assert_eq!(from_flags.device.to_string(), "tap:x");
        assert_eq!(from_flags.stack.addresses[0].to_string(), "10.2.0.2/16");
        assert_eq!((from_flags.stack.cores, from_flags.stat_socket), (vec![1], None));
        assert_eq!(from_flags.stack.tcp.congestion, CongestionAlgorithm::Dctcp);
        assert_eq!(from_flags.stack.tcp.quick_acks, 16);
        assert_eq!(from_flags.stack.tcp.ecn, darner::EcnPolicy::Off);
        assert_eq!(from_flags.stack.tcp.mtu_probing, darner::MtuProbing::Off);
    }
}
