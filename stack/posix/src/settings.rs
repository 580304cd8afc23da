//! What `--so_flags` says of the machine that a script runs on.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use darner::{Config, DuplicateDetection, EcnPolicy, Ipv4Prefix, Profile, TcpConfig};
use rustix::io::Errno;

use crate::sysctl;

/// The machine's address, link and TCP. The defaults are those of packetdrill for IPv4.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) address: Ipv4Prefix,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) mtu: u16,
    pub(crate) seed: [u8; 32],
    pub(crate) profile: Profile,
    /// Where the system's settings are to be found that the machine takes over.
    pub(crate) sysctl: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: "192.168.0.1/16".parse().expect("a prefix"),
            gateway: Ipv4Addr::new(192, 168, 0, 2),
            mtu: 1500,
            seed: [0; 32],
            profile: Profile::default(),
            sysctl: None,
        }
    }
}

impl Settings {
    /// Reads `name=value` pairs that commas part.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a name that is not known, or a value that it cannot have.
    pub(crate) fn parse(flags: &str) -> Result<Self, Errno> {
        let mut settings = Self::default();
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            let (name, value) = flag.split_once('=').ok_or(Errno::INVAL)?;
            settings.set(name, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        match name {
            "address" => self.address = value.parse().map_err(|_| Errno::INVAL)?,
            "gateway" => self.gateway = value.parse().map_err(|_| Errno::INVAL)?,
            "mtu" => self.mtu = value.parse().map_err(|_| Errno::INVAL)?,
            "seed" => {
                let seed: u64 = value.parse().map_err(|_| Errno::INVAL)?;
                self.seed[..8].copy_from_slice(&seed.to_le_bytes());
            }
            "profile" => self.profile = value.parse().map_err(|_| Errno::INVAL)?,
            "sysctl" => self.sysctl = Some(value.into()),
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }

    /// The stack's configuration, as the system's settings are now.
    pub(crate) fn config(&self) -> Config {
        // Linux's default agrees to ECN and does not ask for it.
        let mut tcp = TcpConfig { ecn: EcnPolicy::WhenAsked, ..self.profile.config() };
        if let Some(directory) = &self.sysctl {
            sysctl::read(directory, &mut tcp);
        }
        Config {
            addresses: vec![self.address],
            gateway: Some(self.gateway),
            duplicate_detection: DuplicateDetection::Off,
            tcp,
            ..Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use darner::OptionOrder;

    use super::*;

    #[test]
    fn flags_choose_the_profile_or_say_that_there_is_none() {
        let tcp = |flags| Settings::parse(flags).map(|settings| settings.config().tcp.option_order);
        assert_eq!(tcp("mtu=1400"), Ok(OptionOrder::Linux));
        assert_eq!(tcp("mtu=1400,profile=freebsd"), Ok(OptionOrder::FreeBsd));
        assert_eq!(tcp("profile=beos"), Err(Errno::INVAL));
    }
}
