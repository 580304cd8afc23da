//! The configuration file, `darner.toml`. `app/darner.toml` shows all of it.

mod tcp;

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytesize::ByteSize;
use darner::{CongestionAlgorithm, Ipv4Prefix, Profile};
use pmd::dpdk::DeviceSpec;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;
use crate::placement::Placement;
use crate::settings::{CpuList, Ecn, HugePages, Idle, MtuProbing};
pub(crate) use tcp::TcpSection;

/// The file as a whole. Everything may be left out; what is not known is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ConfigFile {
    pub(crate) device: Option<Text<DeviceSpec>>,
    #[serde(default)]
    pub(crate) address: OneOrMore<Text<Ipv4Prefix>>,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) cores: Option<Text<CpuList>>,
    pub(crate) queues: Option<NonZero<u16>>,
    pub(crate) idle: Option<Idle>,
    pub(crate) placement: Option<Placement>,
    pub(crate) huge_pages: Option<HugePages>,
    pub(crate) mtu: Option<u16>,
    pub(crate) receive_buffer: Option<Text<ByteSize>>,
    pub(crate) receive_buffer_max: Option<Text<ByteSize>>,
    pub(crate) send_buffer: Option<Text<ByteSize>>,
    pub(crate) send_buffer_max: Option<Text<ByteSize>>,
    pub(crate) profile: Option<Text<Profile>>,
    pub(crate) congestion: Option<Text<CongestionAlgorithm>>,
    pub(crate) ecn: Option<Ecn>,
    pub(crate) mtu_probing: Option<MtuProbing>,
    pub(crate) pcap: Option<PathBuf>,
    pub(crate) stat_socket: Option<PathBuf>,
    #[serde(default)]
    pub(crate) tcp: TcpSection,
    #[serde(default)]
    pub(crate) serve: ServeSection,
    #[serde(default)]
    pub(crate) echo: ListenSection,
    #[serde(default)]
    pub(crate) sink: ListenSection,
}

/// `[serve]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ServeSection {
    #[serde(default)]
    pub(crate) listen: OneOrMore<SocketAddr>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) max_body: Option<Text<ByteSize>>,
    pub(crate) disk_threads: Option<u8>,
}

/// `[echo]` and `[sink]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ListenSection {
    #[serde(default)]
    pub(crate) listen: OneOrMore<SocketAddr>,
}

impl ConfigFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let file = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format_args!("cannot read the configuration file {file}: {error}"))
        })?;
        Self::parse(&text).map_err(|error| Failure::usage(format_args!("{file}: {error}")))
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// A value written as text, in the words of its own `FromStr`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|error| D::Error::custom(format_args!("\"{text}\": {error}")))
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMore<T>(pub(crate) Vec<T>);

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor(std::marker::PhantomData))
    }
}

/// Hands a text on to `T` itself, so that its errors, and their line and column, are told: an untagged enum tells neither.
struct Visitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| OneOrMore(vec![one]))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![];
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(OneOrMore(values))
    }
}

#[cfg(test)]
mod tests {
    use darner::TcpConfig;

    use super::*;

    #[test]
    fn the_example_says_the_defaults() {
        let example = include_str!("../darner.toml");
        let config = ConfigFile::parse(example).unwrap();
        assert_eq!(config.device.unwrap().0.to_string(), "tap:dtap0");
        assert_eq!(config.serve.max_body.unwrap().0, ByteSize::gib(16));
        assert_eq!(config.sink.listen.0, ["0.0.0.0:9".parse().unwrap()]);
        let tcp = format!("{:?}", config.tcp.over(TcpConfig::default()));
        assert_eq!(tcp, format!("{:?}", TcpConfig::default()));
    }

    #[test]
    fn what_the_example_leaves_out_can_be_said() {
        let example = include_str!("../darner.toml");
        let settings = example.lines().map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") => setting,
            _ => line,
        });
        let config = ConfigFile::parse(&settings.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(config.cores.unwrap().0, CpuList(vec![1]));
        assert_eq!(config.serve.folder.unwrap(), Path::new("/srv/www"));
    }

    #[test]
    fn errors_say_where_and_what_is_allowed() {
        for (text, wants) in [
            (
                "adress = \"10.0.0.2/24\"",
                ["line 1, column 1", "unknown field `adress`", "`address`"],
            ),
            ("\n[serve]\n  port = 80", ["line 3, column 3", "unknown field `port`", "`listen`"]),
            ("idle = \"never\"", ["line 1, column 8", "unknown variant `never`", "`spin`"]),
            ("placement = \"moon\"", ["line 1, column 13", "unknown variant `moon`", "`thread`"]),
            ("mtu = \"big\"", ["line 1, column 7", "invalid type", "u16"]),
            ("\ndevice = \"tup:x\"", ["line 2, column 10", "names no device", "tap:NAME"]),
            ("address = [\"10.0.0.2\"]", ["line 1, column 1", "10.0.0.2", "/"]),
            ("address = \"10.0.0.2/33\"", ["line 1, column 11", "10.0.0.2/33", "0 to 32"]),
            ("cores = \"1-\"", ["line 1, column 9", "1-", "0,2-3"]),
            ("= 1", ["line 1, column 1", "", ""]),
        ] {
            let error = ConfigFile::parse(text).unwrap_err().to_string();
            for want in wants {
                assert!(error.contains(want), "{text:?}: {want:?} is missing in: {error}");
            }
        }
    }
}
