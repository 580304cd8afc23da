//! Opening the device that the settings name.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, Error, Memory};
use pmd::toeplitz::Key;
use pmd::{QueuePair, pcap};

use crate::console;
use crate::failure::Failure;
use crate::settings::{HugePages, Settings};

/// An open device, its queue pairs given away to the stack.
pub(crate) struct OpenDevice {
    pub(crate) device: Device,
    /// DPDK's, where it is a device of DPDK's.
    pub(crate) memory: Option<Memory>,
    recordings: Vec<(PathBuf, pcap::Recording)>,
}

/// One list of queue pairs for each core. Cores beyond the device's queues have none: the others receive and send for them.
pub(crate) type Queues = Vec<Vec<Box<dyn QueuePair>>>;

impl OpenDevice {
    pub(crate) fn open(settings: &Settings) -> Result<(Self, Queues), Failure> {
        let cores = settings.cores();
        let wanted = settings.queues.map_or(cores, |queues| queues.get().into());
        let queues = u16::try_from(wanted).map_err(|_| Failure::usage("too many cores"))?;
        let eal = eal_for(settings.huge_pages, [&settings.device])?;
        let config = DeviceConfig {
            queues,
            mtu: settings.stack.mtu,
            rss_key: settings.stack.steering.key.map(Key::new),
            ..DeviceConfig::default()
        };
        let opened = match settings.queues {
            Some(_) => Device::open(eal, &settings.device, &config),
            None => open_with_what_there_is(eal, settings, &config),
        };
        let (device, pairs) = opened.map_err(|error| explain(&error))?;
        let mut open = Self { device, memory: eal.map(Eal::memory), recordings: Vec::new() };
        let mut queues = Queues::new();
        for (index, pair) in pairs.into_iter().enumerate() {
            let pair = match &settings.pcap {
                Some(path) => open.record(pair, &numbered(path, index))?,
                None => pair,
            };
            queues.push(vec![pair]);
        }
        queues.resize_with(cores, Vec::new);
        Ok((open, queues))
    }

    /// Finishes the recordings, after the stack has given the queue pairs back, and says what became of them.
    pub(crate) fn close(self) {
        for (path, recording) in self.recordings {
            let path = path.display();
            match recording.finish() {
                Ok(pcap::Summary { recorded, unrecorded: 0 }) => {
                    console::tell(format_args!("{path}: {recorded} packets recorded"));
                }
                Ok(pcap::Summary { recorded, unrecorded }) => console::tell(format_args!(
                    "{path}: {recorded} packets recorded, {unrecorded} came too fast for the disk"
                )),
                Err(error) => {
                    console::tell(format_args!("{path}: the recording is not complete: {error}"));
                }
            }
        }
    }

    fn record(
        &mut self,
        pair: Box<dyn QueuePair>,
        path: &Path,
    ) -> Result<Box<dyn QueuePair>, Failure> {
        let fail =
            |error| Failure::start(format_args!("cannot record to {}: {error}", path.display()));
        let file = File::create(path).map_err(fail)?;
        let clock = || SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let (recorder, recording) =
            pcap::record(pair, file, pcap::Options::default(), clock).map_err(fail)?;
        self.recordings.push((path.to_owned(), recording));
        Ok(Box::new(recorder))
    }
}

/// A device may have fewer queues than there are cores.
fn open_with_what_there_is(
    eal: Option<Eal>,
    settings: &Settings,
    config: &DeviceConfig,
) -> Result<(Device, Vec<Box<dyn QueuePair>>), Error> {
    match Device::open(eal, &settings.device, config) {
        Err(Error::Queues { asked, most, .. }) if (1..asked).contains(&most) => {
            let fewer = DeviceConfig { queues: most, ..config.clone() };
            Device::open(eal, &settings.device, &fewer)
        }
        outcome => outcome,
    }
}

/// Starts EAL if one of the devices needs it.
pub(crate) fn eal_for<const COUNT: usize>(
    huge_pages: HugePages,
    devices: [&DeviceSpec; COUNT],
) -> Result<Option<Eal>, Failure> {
    let needed = devices.iter().any(|device| device.needs_eal());
    needed.then(|| start_eal(huge_pages, devices)).transpose()
}

/// Starts EAL for the devices, or gives it if it runs.
pub(crate) fn start_eal<const COUNT: usize>(
    huge_pages: HugePages,
    devices: [&DeviceSpec; COUNT],
) -> Result<Eal, Failure> {
    let builder = Eal::builder().huge_pages(huge_pages.into()).devices(devices);
    builder.start().map_err(|error| explain(&error))
}

/// The error with its remedy in this program's words, where its own are those of the library.
pub(crate) fn explain(error: &Error) -> Failure {
    match error {
        Error::NoHugePages { needed_mib, free_mib } => Failure::start(format_args!(
            "huge pages: {needed_mib} MiB are needed and {free_mib} MiB are free: reserve them with `./hugepages.sh \
             reserve {needed_mib}M`, or leave out --huge"
        )),
        other => Failure::start(other),
    }
}

fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_huge_pages_have_a_remedy() {
        let failure =
            format!("{:?}", explain(&Error::NoHugePages { needed_mib: 256, free_mib: 4 }));
        assert!(
            failure.contains("hugepages.sh reserve 256M") && failure.contains("--huge"),
            "{failure}"
        );
    }

    #[test]
    fn every_core_has_a_recording_of_its_own() {
        assert_eq!(numbered(Path::new("a.pcap"), 0), Path::new("a.pcap"));
        assert_eq!(numbered(Path::new("a.pcap"), 2), Path::new("a.pcap.2"));
    }
}
