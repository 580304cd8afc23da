//! One device inside EAL: attached, closed, detached.

use std::ffi::{CStr, CString, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dpdk_sys as sys;

use super::Link;
use crate::Burst;
use crate::dpdk::pool::Lease;
use crate::dpdk::{DeviceSpec, Error, log};

/// An attached device, which this owns. DPDK calls it a port.
pub(in crate::dpdk) struct Port {
    pub(in crate::dpdk) id: u16,
    /// The user's name for it.
    pub(in crate::dpdk) label: String,
    pub(in crate::dpdk) driver: String,
    bus: &'static CStr,
    name: CString,
    /// Queue pairs that run, once it is started.
    pub(super) running: u16,
    /// DPDK keeps a pointer to it, and drivers read it when the device starts.
    pub(super) rss_key: Vec<u8>,
    /// Kept until the device is closed, since its queues hold frames of it.
    pub(super) lease: Option<Lease>,
    discarded: AtomicU64,
}

impl Port {
    pub(super) fn attach(spec: &DeviceSpec, queues: u16) -> Result<Self, Error> {
        let mut open = open_ports();
        let (bus, name) = match spec {
            DeviceSpec::Pci { address } => (c"pci", address.clone()),
            DeviceSpec::Vdev { name, .. } => (c"vdev", name.clone()),
            _ => (c"vdev", free_name(spec.driver().unwrap_or_default())),
        };
        let name = c_string(name);
        let arguments = spec.arguments(queues);
        let refused = |reason| Error::Refused {
            device: spec.to_string(),
            arguments: arguments.clone(),
            reason,
        };
        let id = match port_named(&name) {
            Some(id) if open.contains(&id) => {
                return Err(Error::AlreadyOpen { device: spec.to_string() });
            }
            Some(id) => id,
            None => {
                let arguments = c_string(arguments.clone());
                log::forget();
                // SAFETY: C strings that live during the call; EAL runs, as the caller holds an `Eal`.
                let code = unsafe {
                    sys::rte_eal_hotplug_add(bus.as_ptr(), name.as_ptr(), arguments.as_ptr())
                };
                if code != 0 {
                    return Err(refused(log::reason(code)));
                }
                port_named(&name).ok_or_else(|| refused("it made no device of it".to_owned()))?
            }
        };
        open.push(id);
        Ok(Self {
            id,
            label: spec.to_string(),
            driver: String::new(),
            bus,
            name,
            running: 0,
            rss_key: vec![],
            lease: None,
            discarded: AtomicU64::new(0),
        })
    }

    /// Where a NIC sits. A virtual device is nowhere (-1); EAL gives it the node of the thread that happened to attach it.
    pub(super) fn numa_node(&self) -> i32 {
        if self.bus == c"vdev" {
            return -1;
        }
        // SAFETY: the port is open.
        unsafe { sys::rte_eth_dev_socket_id(self.id) }
    }

    pub(super) fn link(&self) -> Link {
        let mut link = sys::rte_eth_link::default();
        // SAFETY: the port is open.
        unsafe { sys::rte_eth_link_get_nowait(self.id, &raw mut link) };
        let known = !matches!(link.link_speed, 0 | u32::MAX);
        Link {
            up: u32::from(link.link_status()) == sys::RTE_ETH_LINK_UP,
            speed_mbps: known.then_some(link.link_speed),
        }
    }

    pub(in crate::dpdk) fn link_is_up(&self) -> bool {
        self.link().up
    }

    pub(in crate::dpdk) fn discard(&self, count: usize) {
        self.discarded.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }

    /// A failed step of the configuration.
    pub(super) fn failed(&self, step: &'static str, code: i32) -> Error {
        Error::Configure { device: self.label.clone(), step, reason: log::reason(code) }
    }

    /// net_ring forgets the frames in its rings when it closes.
    fn drain(&self) {
        let mut burst = Burst::new();
        for queue in 0..self.running {
            loop {
                // SAFETY: the queue runs, and nobody else polls it: all queue pairs are gone.
                let received = unsafe {
                    burst.extend_raw(|place, room| {
                        sys::pmd_rx_burst(self.id, queue, place.cast(), room)
                    })
                };
                if received == 0 {
                    break;
                }
                burst.clear();
            }
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut open = open_ports();
        if self.driver == "net_ring" {
            self.drain();
        }
        let (id, running) = (self.id, self.running > 0);
        let close = move || {
            // SAFETY: the port is open, and no queue of it is polled any more: queue pairs hold the port.
            unsafe {
                if running {
                    sys::rte_eth_dev_stop(id);
                }
                sys::rte_eth_dev_close(id);
            }
        };
        // Where memif hears that its peer has gone, it frees what closing frees, without a lock.
        if self.driver == "net_memif" {
            on_event_thread(close)
        } else {
            close()
        }
        // SAFETY: C strings that live during the call.
        unsafe { sys::rte_eal_hotplug_remove(self.bus.as_ptr(), self.name.as_ptr()) };
        open.retain(|&id| id != self.id);
    }
}

/// Runs `work` on the thread of EAL on which drivers handle events, and waits for it.
fn on_event_thread(work: impl FnOnce() + Send + 'static) {
    type Job = (Box<dyn FnOnce() + Send>, Sender<()>);
    extern "C" fn run(job: *mut c_void) {
        // SAFETY: the pointer that `rte_eal_alarm_set` was given, once.
        let (work, finished) = *unsafe { Box::from_raw(job.cast::<Job>()) };
        work();
        let _ = finished.send(());
    }
    let (finished, wait) = channel();
    let job: Box<Job> = Box::new((Box::new(work), finished));
    let job = Box::into_raw(job).cast();
    // SAFETY: the job stays until it runs.
    if unsafe { sys::rte_eal_alarm_set(SOON_US, Some(run), job) } == 0 {
        let _ = wait.recv();
    } else {
        // Out of memory: then as well as can be.
        run(job);
    }
}

/// The shortest time that EAL takes for an alarm.
const SOON_US: u64 = 1;

/// The lowest free name of a driver's devices.
fn free_name(driver: &str) -> String {
    let names = (0..).map(|number: u32| format!("{driver}{number}"));
    names.into_iter().find(|name| port_named(&c_string(name.clone())).is_none()).unwrap_or_default()
}

fn port_named(name: &CStr) -> Option<u16> {
    let mut id = 0;
    // SAFETY: a C string that lives during the call, and a place for the answer.
    let code = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
    (code == 0).then_some(id)
}

/// Names and options come from a command line or a file without zeros; what follows one is cut off.
fn c_string(mut text: String) -> CString {
    text.truncate(text.find('\0').unwrap_or(text.len()));
    CString::new(text).unwrap_or_default()
}

fn open_ports() -> MutexGuard<'static, Vec<u16>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ports that a [`Port`] owns. Locked while devices are attached and detached.
static OPEN: Mutex<Vec<u16>> = Mutex::new(vec![]);
