//! Starting DPDK's environment (EAL): once per process, on a thread of its own, for ever.

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::log::{self, LogLevel};
use super::preflight::{self, MemoryMib};
use super::{DeviceSpec, Error};

mod memory;

/// The running environment. A copy is another name for the same one.
#[derive(Clone, Copy)]
pub struct Eal(&'static Running);

/// How EAL is to be started. See [`Eal::builder`].
#[derive(Clone, Debug, Default)]
pub struct EalBuilder {
    huge_pages: HugePages,
    memory_mib: Option<usize>,
    iova: IovaMode,
    pci: Vec<String>,
    vdevs: Vec<String>,
    file_prefix: Option<String>,
    cpus: Option<Vec<usize>>,
    log: Option<LogLevel>,
}

/// Whether DPDK's memory is to be huge pages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HugePages {
    /// If the kernel has enough of them free, else ordinary pages.
    #[default]
    Auto,
    /// Or EAL does not start.
    Always,
    /// Ordinary pages.
    Never,
}

/// What DPDK's memory turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Memory {
    /// Huge pages, taken when needed.
    HugePages,
    /// Ordinary pages, as many as were asked for at start.
    Ordinary,
}

/// How devices address memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IovaMode {
    /// Virtual addresses without PCI devices; with them, what their kernel driver needs.
    #[default]
    Auto,
    /// Physical addresses: for NICs on uio_pci_generic; needs root.
    Physical,
    /// Virtual addresses: virtual devices, and NICs behind an IOMMU.
    Virtual,
}

struct Running {
    asked: EalBuilder,
    memory: Memory,
    memory_mib: usize,
    cpus: Vec<usize>,
}

impl Eal {
    /// The way to start EAL: `Eal::builder().start()`.
    pub fn builder() -> EalBuilder {
        EalBuilder::default()
    }

    /// Whether it has huge pages.
    pub fn memory(self) -> Memory {
        self.0.memory
    }

    /// How much memory it can use: with huge pages, as much as was free at its start at least.
    pub fn memory_mib(self) -> usize {
        self.0.memory_mib
    }

    /// The CPUs that the process was allowed when EAL started. Starting it changes the affinity of no thread of the caller's.
    pub fn cpus(self) -> &'static [usize] {
        &self.0.cpus
    }

    /// Whether a PCI function was named at start.
    pub(super) fn allows_pci(self, address: &str) -> bool {
        self.0.asked.pci.iter().any(|allowed| allowed == address)
    }
}

/// One line for a start-up message: version, memory, addressing.
impl fmt::Display for Eal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: a static string of DPDK's, and a plain query.
        let (version, iova) =
            unsafe { (CStr::from_ptr(dpdk_sys::rte_version()), dpdk_sys::rte_eal_iova_mode()) };
        let addresses = if iova == dpdk_sys::RTE_IOVA_PA { "physical" } else { "virtual" };
        write!(f, "{}, {}, {addresses} addresses", version.to_string_lossy(), self.0)
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.memory {
            Memory::HugePages => write!(f, "huge pages"),
            Memory::Ordinary => write!(f, "{} MiB of ordinary pages", self.memory_mib),
        }
    }
}

impl EalBuilder {
    /// How much memory EAL gets unless said.
    pub const DEFAULT_MIB: usize = 256;

    /// Whether to use huge pages; [`HugePages::Auto`] unless said.
    pub fn huge_pages(mut self, wanted: HugePages) -> Self {
        self.huge_pages = wanted;
        self
    }

    /// Memory for frames, of which each needs about 2.4 kB; [`Self::DEFAULT_MIB`] unless said. Huge pages are used if so much is free, and taken
    /// when needed.
    pub fn memory_mib(mut self, mib: usize) -> Self {
        self.memory_mib = Some(mib);
        self
    }

    /// How devices address memory; [`IovaMode::Auto`] unless said.
    pub fn iova(mut self, mode: IovaMode) -> Self {
        self.iova = mode;
        self
    }

    /// Names the devices that will be opened. EAL only serves PCI functions that were named when it started; virtual devices
    /// need not be named.
    pub fn devices<'a>(mut self, specs: impl IntoIterator<Item = &'a DeviceSpec>) -> Self {
        for spec in specs {
            if let DeviceSpec::Pci { address } = spec {
                self.pci.push(address.clone());
            }
        }
        self
    }

    /// Has EAL make a virtual device at its start, in DPDK's words. [`Device::open`](super::Device::open) finds it by its name,
    /// and makes those that are missing itself: this is for the few that cannot come later.
    pub fn vdev(mut self, arguments: impl Into<String>) -> Self {
        self.vdevs.push(arguments.into());
        self
    }

    /// The prefix of EAL's run-time files; `darner-PID` unless said.
    pub fn file_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.file_prefix = Some(prefix.into());
        self
    }

    /// The CPUs for EAL's own few threads (they rest); all that the process is allowed unless said.
    pub fn cpus(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// Shows DPDK's log on standard error. Unless said, the environment variable `DPDK_LOG` (warning, notice, info or debug)
    /// decides, and without it nothing is shown.
    pub fn log(mut self, level: LogLevel) -> Self {
        self.log = Some(level);
        self
    }

    /// Starts EAL; or gives the running one, if it runs in the way that is asked for.
    ///
    /// A failed start cannot be repeated in the same process: DPDK cannot.
    pub fn start(self) -> Result<Eal, Error> {
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*started {
            Some(Ok(running)) => self.accepts(running).map(|()| Eal(running)),
            Some(Err(error)) => Err(error.clone()),
            None => {
                // Found before EAL is touched, so that the caller can ask for something else.
                let plan = self.plan()?;
                let outcome = plan.start().map(|running| &*Box::leak(Box::new(running)));
                started.insert(outcome).clone().map(Eal)
            }
        }
    }

    fn plan(mut self) -> Result<Plan, Error> {
        if self.log.is_none() {
            let word = std::env::var("DPDK_LOG").ok().filter(|word| !word.is_empty());
            self.log = word.map(|word| word.parse()).transpose()?;
        }
        let allowed = core_list();
        let memory_mib = self.memory_mib.unwrap_or(Self::DEFAULT_MIB);
        let memory = memory::choose(self.huge_pages, memory_mib)?;
        let mib = MemoryMib { needed: memory_mib, free: memory::free_mib() };
        for address in &self.pci {
            preflight::physical_addresses(Path::new(preflight::ROOT), address, memory, &mib)?;
        }
        let running = Running { asked: self, memory, memory_mib, cpus: allowed };
        let arguments = running.arguments().into_iter().map(CString::new).collect::<Result<_, _>>();
        let arguments = arguments.map_err(|error| Error::EalArgument(error.to_string()))?;
        Ok(Plan { running, arguments })
    }

    /// Whether EAL as it runs is what this asks for.
    fn accepts(&self, running: &Running) -> Result<(), Error> {
        let differs =
            |asked: String| Err(Error::EalDiffers { running: running.to_string(), asked });
        match (self.huge_pages, running.memory) {
            (HugePages::Always, Memory::Ordinary) => return differs("huge pages".to_owned()),
            (HugePages::Never, Memory::HugePages) => return differs("ordinary pages".to_owned()),
            _ => {}
        }
        if let Some(mib) = self.memory_mib
            && running.memory == Memory::Ordinary
            && mib > running.memory_mib
        {
            return differs(format!("{mib} MiB"));
        }
        if self.iova != IovaMode::Auto && self.iova != running.asked.iova {
            return differs(format!("{:?} addressing", self.iova));
        }
        for (asked, has) in [(&self.pci, &running.asked.pci), (&self.vdevs, &running.asked.vdevs)] {
            if let Some(missing) = asked.iter().find(|device| !has.contains(device)) {
                return differs(format!("the device {missing}"));
            }
        }
        Ok(())
    }
}

struct Plan {
    running: Running,
    arguments: Vec<CString>,
}

impl Plan {
    fn start(self) -> Result<Running, Error> {
        match self.running.asked.log {
            Some(level) => log::show(level),
            None => log::keep(),
        }
        let arguments = self.arguments;
        // `rte_eal_init` pins the calling thread, and what that starts later: so the caller's must not call it.
        let initialised = thread::Builder::new()
            .name("eal".to_owned())
            .spawn(move || init(arguments))
            .map_err(|error| Error::EalFailed { reason: error.to_string() })?
            .join();
        match initialised {
            Ok(Ok(())) => {
                remove_runtime_dir();
                Ok(self.running)
            }
            Ok(Err(code)) => Err(Error::EalFailed { reason: log::reason(code) }),
            Err(_panic) => Err(Error::EalFailed { reason: "its thread panicked".to_owned() }),
        }
    }
}

/// Calls `rte_eal_init`; the error is DPDK's number.
fn init(arguments: Vec<CString>) -> Result<(), i32> {
    let count = c_int::try_from(arguments.len()).unwrap_or(c_int::MAX);
    // EAL reorders the array and keeps pointers into it: both stay for ever.
    let mut array: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    array.push(ptr::null_mut());
    let array = Vec::leak(array);
    // SAFETY: `array` has `count` C strings and a null behind them, none of which is ever freed.
    unsafe {
        match dpdk_sys::rte_eal_init(count, array.as_mut_ptr()) {
            ..0 => Err(dpdk_sys::pmd_errno()),
            _ => Ok(()),
        }
    }
}

/// EAL makes a folder for files that it shares with other processes, and we have it share none.
fn remove_runtime_dir() {
    // SAFETY: EAL runs, so this is a C string of its own.
    let path = unsafe { CStr::from_ptr(dpdk_sys::rte_eal_get_runtime_dir()) };
    // Fails where the user has EAL keep something there after all.
    let _ = fs::remove_dir(OsStr::from_bytes(path.to_bytes()));
}

impl Running {
    /// The command line that EAL is told.
    fn arguments(&self) -> Vec<String> {
        let asked = &self.asked;
        let mut line = vec!["darner".to_owned(), "--no-telemetry".to_owned()];
        // Huge pages are taken as pools need them (256 MiB at once lasts a second), and without files, so nothing is left behind.
        // One descriptor for many of them is what vhost and memif's zero copy need.
        match self.memory {
            Memory::HugePages => line.extend(words("--in-memory --single-file-segments")),
            Memory::Ordinary => {
                line.extend(words(&format!("--no-huge --no-shconf -m {}", self.memory_mib)))
            }
        }
        match (asked.iova, asked.pci.is_empty()) {
            (IovaMode::Physical, _) => line.push("--iova-mode=pa".to_owned()),
            (IovaMode::Virtual, _) | (IovaMode::Auto, true) => {
                line.push("--iova-mode=va".to_owned())
            }
            (IovaMode::Auto, false) => {}
        }
        if asked.pci.is_empty() {
            line.push("--no-pci".to_owned());
        }
        for address in &asked.pci {
            line.extend(["-a".to_owned(), address.clone()]);
        }
        line.extend(asked.vdevs.iter().map(|vdev| format!("--vdev={vdev}")));
        let prefix = asked.file_prefix.clone();
        let prefix = prefix.unwrap_or_else(|| format!("darner-{}", std::process::id()));
        line.push(format!("--file-prefix={prefix}"));
        // One lcore, on any of the CPUs: EAL would else start and pin a thread on each.
        let cpus = asked.cpus.as_ref().filter(|cpus| !cpus.is_empty()).unwrap_or(&self.cpus);
        let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
        line.push(format!("--lcores=0@({})", cpus.join(",")));
        if asked.log == Some(LogLevel::Debug) {
            line.push("--log-level=*:debug".to_owned());
        }
        line
    }
}

fn words(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split(' ').map(str::to_owned)
}

/// The CPUs that the calling thread is allowed.
fn core_list() -> Vec<usize> {
    // SAFETY: a CPU set of zeros is an empty one, and the kernel fills at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) != 0 {
            return vec![0];
        }
        set
    };
    let most = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: `cpu` is below the size of the set.
    (0..most).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// EAL's one start in this process, and how it ended.
static STARTED: Mutex<Option<Result<&'static Running, Error>>> = Mutex::new(None);
