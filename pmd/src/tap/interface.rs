//! The kernel's interface: made, asked and configured by `ioctl`, the only unsafe part of a tap.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use libc::{c_int, c_short, ifreq};

use super::{Error, Offload, Spec, virtio};

/// Makes the interface with its first queue, or adds the queue of this number to it.
pub(super) fn open_queue(
    device: &str,
    interface: &str,
    queue: u16,
    offload: Offload,
) -> Result<Arc<File>, Error> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN);
    let file = file.map_err(|error| Error::of_opening(device, &error))?;
    let mut request = named(interface);
    request.ifr_ifru.ifru_flags = flags(queue);
    of_interface(&file, libc::TUNSETIFF, &mut request)
        .map_err(|error| Error::of_making(device, interface, queue, &error))?;
    let failed = |step| move |error: io::Error| configure(device, step, &error);
    set_header_len(&file).map_err(failed("choose the header before its frames"))?;
    set_offload(&file, offload).map_err(failed("leave checksums and large packets to it"))?;
    Ok(Arc::new(file))
}

/// The first queue makes an interface, and does not join another's; the others join.
fn flags(queue: u16) -> c_short {
    let exclusive = if queue == 0 { libc::IFF_TUN_EXCL } else { 0 };
    let flags =
        libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE | exclusive;
    // The kernel takes them as 16 bits without a sign.
    u16::try_from(flags).unwrap_or(0).cast_signed()
}

fn set_header_len(file: &File) -> io::Result<()> {
    let len = c_int::try_from(virtio::LEN).unwrap_or(0);
    // SAFETY: the call reads a `c_int` that lives during it.
    result(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) })
}

fn set_offload(file: &File, offload: Offload) -> io::Result<()> {
    let offload = match offload {
        Offload::None => 0,
        Offload::Full => libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6,
    };
    // SAFETY: the argument is the number itself.
    result(unsafe {
        libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offload))
    })
}

/// The interface by its name, in the network namespace of the thread that opened it.
pub(super) struct Interface {
    device: String,
    name: String,
    socket: OwnedFd,
}

impl Interface {
    pub(super) fn new(device: &str, name: &str) -> Result<Self, Error> {
        // SAFETY: makes a descriptor and touches no memory.
        let socket =
            unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        result(socket)
            .map_err(|error| configure(device, "open a socket to configure it", &error))?;
        // SAFETY: a descriptor that was just made, and is nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        Ok(Self { device: device.to_owned(), name: name.to_owned(), socket })
    }

    /// Does what the user wants of it, takes it up, and returns its MTU.
    pub(super) fn configure(&self, spec: &Spec, mtu: Option<u16>) -> Result<u16, Error> {
        if let Some(mac) = spec.mac {
            self.set_mac(mac)?;
        }
        if let Some(mtu) = mtu.or(spec.mtu) {
            self.set_mtu(mtu)?;
        }
        if let Some((address, len)) = spec.address {
            self.set_address("give it its address", libc::SIOCSIFADDR, address)?;
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            let mask = Ipv4Addr::from_bits(mask);
            self.set_address("give it its prefix", libc::SIOCSIFNETMASK, mask)?;
        }
        self.take_up()?;
        self.mtu()
    }

    pub(super) fn mac(&self) -> Result<[u8; 6], Error> {
        let asked = self.ask("ask for its address", libc::SIOCGIFHWADDR, named(&self.name))?;
        // SAFETY: the call has filled in a link-layer address.
        let address = unsafe { asked.ifr_ifru.ifru_hwaddr };
        let mut mac = [0; 6];
        mac.iter_mut().zip(address.sa_data).for_each(|(byte, given)| [*byte] = given.to_ne_bytes());
        Ok(mac)
    }

    pub(super) fn is_up(&self) -> bool {
        let wanted = c_int::from(UP_AND_RUNNING);
        self.flags().is_ok_and(|flags| c_int::from(flags) & wanted == wanted)
    }

    /// Frames for us that the kernel has dropped, as it tells in the namespace of the calling thread.
    pub(super) fn missed(&self) -> u64 {
        let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        dropped_on_the_way_out(&table, &self.name).unwrap_or(0)
    }

    fn set_mac(&self, mac: [u8; 6]) -> Result<(), Error> {
        let mut request = named(&self.name);
        // SAFETY: all of the union is zeros, which is an address; this fills it in.
        let address = unsafe { &mut request.ifr_ifru.ifru_hwaddr };
        address.sa_family = libc::ARPHRD_ETHER;
        address
            .sa_data
            .iter_mut()
            .zip(mac)
            .for_each(|(place, byte)| *place = libc::c_char::from_ne_bytes([byte]));
        self.ask("set its address", libc::SIOCSIFHWADDR, request).map(drop)
    }

    fn mtu(&self) -> Result<u16, Error> {
        let asked = self.ask("ask for its MTU", libc::SIOCGIFMTU, named(&self.name))?;
        // SAFETY: the call has filled in a number.
        let mtu = unsafe { asked.ifr_ifru.ifru_mtu };
        Ok(u16::try_from(mtu).unwrap_or(u16::MAX))
    }

    fn set_mtu(&self, mtu: u16) -> Result<(), Error> {
        let mut request = named(&self.name);
        request.ifr_ifru.ifru_mtu = mtu.into();
        let outcome = of_interface(&self.socket, libc::SIOCSIFMTU, &mut request);
        outcome.map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => Error::Mtu {
                device: self.device.clone(),
                asked: mtu,
                least: LEAST_MTU,
                most: LARGEST_MTU,
            },
            _ => configure(&self.device, "set its MTU", &error),
        })
    }

    fn set_address(
        &self,
        step: &'static str,
        code: libc::Ioctl,
        address: Ipv4Addr,
    ) -> Result<(), Error> {
        let mut request = named(&self.name);
        // SAFETY: all of the union is zeros, which is an address; this fills it in.
        let place = unsafe { &mut request.ifr_ifru.ifru_addr };
        // Of `sockaddr_in`: the family, a port of two bytes, the address.
        place.sa_family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or(0);
        let bytes = place.sa_data.iter_mut().skip(2);
        bytes
            .zip(address.octets())
            .for_each(|(place, byte)| *place = libc::c_char::from_ne_bytes([byte]));
        self.ask(step, code, request).map(drop)
    }

    fn take_up(&self) -> Result<(), Error> {
        let mut request = named(&self.name);
        request.ifr_ifru.ifru_flags = self.flags()? | UP_AND_RUNNING;
        self.ask("take it up", libc::SIOCSIFFLAGS, request).map(drop)
    }

    fn flags(&self) -> Result<c_short, Error> {
        let asked = self.ask("ask whether it is up", libc::SIOCGIFFLAGS, named(&self.name))?;
        // SAFETY: the call has filled in flags.
        Ok(unsafe { asked.ifr_ifru.ifru_flags })
    }

    fn ask(
        &self,
        step: &'static str,
        code: libc::Ioctl,
        mut request: ifreq,
    ) -> Result<ifreq, Error> {
        match of_interface(&self.socket, code, &mut request) {
            Ok(()) => Ok(request),
            Err(error) => Err(configure(&self.device, step, &error)),
        }
    }
}

/// A request about an interface, with nothing else in it.
fn named(interface: &str) -> ifreq {
    // SAFETY: numbers and arrays of numbers, all of which may be zero.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: it ends the name.
    let place = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    place
        .zip(interface.bytes())
        .for_each(|(place, byte)| *place = libc::c_char::from_ne_bytes([byte]));
    request
}

/// One of the calls that take a `struct ifreq`.
fn of_interface(
    descriptor: &impl AsRawFd,
    code: libc::Ioctl,
    request: &mut ifreq,
) -> io::Result<()> {
    // SAFETY: the codes that this module passes read and write no more than one `ifreq`.
    result(unsafe { libc::ioctl(descriptor.as_raw_fd(), code, &raw mut *request) })
}

fn result(code: c_int) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn configure(device: &str, step: &'static str, error: &io::Error) -> Error {
    if error.raw_os_error() == Some(libc::EPERM) {
        return Error::NotPermitted { device: device.to_owned() };
    }
    Error::Configure { device: device.to_owned(), step, reason: error.to_string() }
}

/// From the kernel's table of interfaces: two lines of titles, then for each its name and 16 numbers.
fn dropped_on_the_way_out(table: &str, interface: &str) -> Option<u64> {
    let of = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        (name.trim() == interface).then(|| numbers.split_whitespace().nth(TX_DROP)?.parse().ok())?
    };
    table.lines().find_map(of)
}

const TUN: &str = "/dev/net/tun";

#[expect(clippy::cast_possible_truncation, reason = "both bits are among the lower 16")]
const UP_AND_RUNNING: c_short = (libc::IFF_UP | libc::IFF_RUNNING) as c_short;

/// The smallest MTU that the kernel's tun driver takes.
pub const LEAST_MTU: u16 = 68;
/// The largest MTU that the kernel's tun driver takes.
pub const LARGEST_MTU: u16 = 65_521;

/// Eight numbers of receiving; then bytes, packets, errors, and these.
const TX_DROP: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_found_in_the_kernels_table() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16\n \
            dtap0:      21      22   23   24   25    26         27        28       29      30   31   32   33    34      35         36\n";
        assert_eq!(dropped_on_the_way_out(table, "dtap0"), Some(32));
        assert_eq!(dropped_on_the_way_out(table, "tap0"), None);
        assert_eq!(dropped_on_the_way_out("", "dtap0"), None);
    }

    #[test]
    fn a_name_is_cut_to_what_fits() {
        let request = named("a_name_of_20_letters");
        let name = request.ifr_name.map(|byte| byte.to_ne_bytes()[0]);
        assert_eq!(&name, b"a_name_of_20_le\0");
    }
}
