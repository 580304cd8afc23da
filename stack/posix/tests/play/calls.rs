//! The C interface of the library, and a script's calls on it.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::mem::{MaybeUninit, transmute, zeroed};
use std::ptr::{from_mut, from_ref, null, null_mut};
use std::sync::LazyLock;

use darner_posix::PacketdrillInterface;
use libc::{c_char, sockaddr, sockaddr_in, socklen_t};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};

use crate::numbers::PORT;
use crate::script::{Call, Outcome};

type Init = unsafe extern "C" fn(*const c_char, *mut PacketdrillInterface);

/// The library, opened as packetdrill does it. cargo builds it beside the tests.
static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("a test has a file");
    let path = test.with_file_name("libdarner_posix.so");
    let flags = RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE | libc::RTLD_DEEPBIND;
    // SAFETY: what the library runs when it is loaded asks nothing of its loader.
    unsafe { Library::open(Some(&path), flags) }
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
});

/// A machine, by its functions.
#[derive(Clone, Copy)]
pub(crate) struct Api(PacketdrillInterface);

// SAFETY: the functions may be called on any thread, and `userdata` is theirs.
unsafe impl Send for Api {}

/// What a call comes to, ready to be made on any thread.
pub(crate) type Act = Box<dyn FnOnce(&Api) -> Outcome + Send>;

impl Api {
    pub(crate) fn new() -> Self {
        let mut interface = MaybeUninit::zeroed();
        // SAFETY: the function is of that type. There are no flags, and the place is valid for a write, which makes it initialized.
        unsafe {
            let init: Symbol<Init> =
                LIBRARY.get(b"packetdrill_interface_init").expect("the one that it exports");
            init(null(), interface.as_mut_ptr());
            Self(interface.assume_init())
        }
    }

    /// The struct as packetdrill's header has it: a pointer to data, and 32 functions.
    pub(crate) fn pointers(&self) -> [usize; 33] {
        // SAFETY: every field is a pointer or none, and of the size of a number.
        unsafe { transmute(self.0) }
    }

    pub(crate) fn time(&self) -> u64 {
        // SAFETY: zero is a time, which is then written; `userdata` is what the function was given with.
        unsafe {
            let mut time = zeroed();
            let asked =
                self.0.gettimeofday.expect("filled")(self.0.userdata, &mut time, null_mut());
            assert_eq!(asked, 0);
            time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64
        }
    }

    pub(crate) fn sleep(&self, micros: u64) {
        let micros = micros.try_into().expect("less than an hour");
        // SAFETY: `userdata` is what the function was given with.
        unsafe { self.0.usleep.expect("filled")(self.0.userdata, micros) };
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        let send = self.0.netdev_send.expect("filled");
        // SAFETY: the packet is valid for reading all of its bytes.
        let sent = unsafe { send(self.0.userdata, packet.as_ptr().cast(), packet.len()) };
        assert_eq!(sent, 0);
    }

    pub(crate) fn receive(&self) -> Option<(Vec<u8>, u64)> {
        let mut packet = vec![0_u8; 65_536];
        let (mut len, mut time) = (packet.len(), 0);
        let receive = self.0.netdev_receive.expect("filled");
        // SAFETY: the packet has so much room, and there are places for its length and time.
        let received =
            unsafe { receive(self.0.userdata, packet.as_mut_ptr().cast(), &mut len, &mut time) };
        assert_eq!(received, 0);
        packet.truncate(len);
        (len > 0).then(|| (packet, time.cast_unsigned()))
    }

    pub(crate) fn free(&self) {
        // SAFETY: nothing is called after it.
        unsafe { self.0.free.expect("filled")(self.0.userdata) };
    }
}

/// A script's descriptors, and those that they stand for.
#[derive(Default)]
pub(crate) struct Descriptors(BTreeMap<i64, c_int>);

impl Descriptors {
    /// The outcome of `call` as the script is to see it: it chooses the numbers of descriptors.
    pub(crate) fn told(&mut self, call: &Call, outcome: &Outcome) -> Outcome {
        match (call.name.as_str(), outcome, &call.outcome) {
            ("socket" | "accept", Outcome::Value(live), Outcome::Value(script)) if *live >= 0 => {
                self.0.insert(*script, c_int::try_from(*live).expect("a descriptor"));
                call.outcome.clone()
            }
            _ => outcome.clone(),
        }
    }

    pub(crate) fn prepare(&self, call: &Call) -> Act {
        let fd = call.arguments[0].parse().ok().and_then(|fd: i64| self.0.get(&fd).copied());
        let (call, fd) = (call.clone(), fd.unwrap_or(-1));
        Box::new(move |api| outcome(api.make(&call, fd)))
    }
}

impl Api {
    fn make(&self, call: &Call, fd: c_int) -> i64 {
        let number = |index: usize| call.arguments.get(index).map_or(0, |word| value(word));
        let PacketdrillInterface { userdata, .. } = self.0;
        // SAFETY: `userdata` is what the functions were given with, and pointers are to values that outlive the calls.
        unsafe {
            match call.name.as_str() {
                "socket" => {
                    let socket = self.0.socket.expect("filled");
                    socket(userdata, libc::AF_INET, libc::SOCK_STREAM, 0).into()
                }
                "bind" => {
                    let (address, len) = address([0, 0, 0, 0]);
                    let at = from_ref(&address).cast();
                    self.0.bind.expect("filled")(userdata, fd, at, len).into()
                }
                "connect" => {
                    let (address, len) = address([192, 0, 2, 1]);
                    let at = from_ref(&address).cast();
                    self.0.connect.expect("filled")(userdata, fd, at, len).into()
                }
                "listen" => self.0.listen.expect("filled")(userdata, fd, number(1)).into(),
                "accept" => {
                    let (mut address, mut len) = address([0, 0, 0, 0]);
                    let to: *mut sockaddr = from_mut(&mut address).cast();
                    self.0.accept.expect("filled")(userdata, fd, to, &mut len).into()
                }
                "shutdown" => self.0.shutdown.expect("filled")(userdata, fd, number(1)).into(),
                "close" => self.0.close.expect("filled")(userdata, fd).into(),
                "fcntl" => self.0.fcntl.expect("filled")(userdata, fd, number(1), number(2)).into(),
                _ => self.transfer(call, fd),
            }
        }
    }

    /// The calls that take or give bytes.
    fn transfer(&self, call: &Call, fd: c_int) -> i64 {
        let number = |index: usize| value(&call.arguments[index]);
        let PacketdrillInterface { userdata, .. } = self.0;
        let room = || vec![0_u8; usize::try_from(number(2)).expect("a length")];
        // SAFETY: `userdata` is what the functions were given with, and pointers are to values that outlive the calls.
        unsafe {
            match call.name.as_str() {
                "read" => {
                    let mut bytes = room();
                    let to = bytes.as_mut_ptr().cast();
                    self.0.read.expect("filled")(userdata, fd, to, bytes.len()) as i64
                }
                "write" => {
                    let bytes = room();
                    let from = bytes.as_ptr().cast();
                    self.0.write.expect("filled")(userdata, fd, from, bytes.len()) as i64
                }
                "sendto" => {
                    let bytes = room();
                    let (mut to, len) = address([192, 0, 2, 1]);
                    if call.arguments[4] == "AF_UNSPEC" {
                        to.sin_family = 0;
                    }
                    let (from, at) = (bytes.as_ptr().cast(), from_ref(&to).cast());
                    let send = self.0.sendto.expect("filled");
                    send(userdata, fd, from, bytes.len(), number(3), at, len) as i64
                }
                "poll" => {
                    let mut polled = libc::pollfd { fd, events: EVENTS, revents: 0 };
                    let poll = self.0.poll.expect("filled");
                    let ready = poll(userdata, &mut polled, 1, number(2));
                    let wanted = words(&call.arguments[1]);
                    assert_eq!([c_int::from(polled.revents)], *wanted, "what is ready");
                    ready.into()
                }
                "setsockopt" => {
                    let value = words(&call.arguments[3]);
                    let (at, len) = (value.as_ptr().cast(), len_of(&value));
                    let set = self.0.setsockopt.expect("filled");
                    set(userdata, fd, number(1), number(2), at, len).into()
                }
                "getsockopt" => {
                    let wanted = words(&call.arguments[3]);
                    let mut value = vec![0; wanted.len()];
                    let mut len = len_of(&value);
                    let get = self.0.getsockopt.expect("filled");
                    let to = value.as_mut_ptr().cast();
                    let got = get(userdata, fd, number(1), number(2), to, &mut len);
                    assert!(got < 0 || value == wanted, "the value is {value:?}");
                    got.into()
                }
                name => panic!("scripts do not call {name}"),
            }
        }
    }
}

/// What scripts poll for: all that can be.
const EVENTS: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;

fn len_of(words: &[c_int]) -> socklen_t {
    size_of_val(words).try_into().expect("a few words")
}

fn outcome(result: i64) -> Outcome {
    if result >= 0 {
        return Outcome::Value(result);
    }
    let error = std::io::Error::last_os_error().raw_os_error().expect("of the system");
    let name = ERRORS.iter().find(|(number, _)| *number == error).map(|(_, name)| *name);
    Outcome::Errno(name.map_or_else(|| error.to_string(), str::to_owned))
}

fn address(ip: [u8; 4]) -> (sockaddr_in, socklen_t) {
    let address = sockaddr_in {
        sin_family: libc::AF_INET.try_into().expect("a small number"),
        sin_port: PORT.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip) },
        sin_zero: [0; 8],
    };
    (address, size_of_val(&address).try_into().expect("a few bytes"))
}

/// The words of `[1]`, or of a struct such as `{onoff=1, linger=0}`.
fn words(text: &str) -> Vec<c_int> {
    text.trim_matches(['[', ']', '{', '}'])
        .split(',')
        .map(|word| value(word.rsplit('=').next().unwrap_or(word).trim()))
        .collect()
}

/// Numbers, names, and names of bits.
fn value(text: &str) -> c_int {
    text.split('|').map(|name| named(name.trim())).fold(0, |bits, bit| bits | bit)
}

fn named(name: &str) -> c_int {
    name.parse().ok().unwrap_or_else(|| {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.unwrap_or_else(|| panic!("what is {name}?")).1
    })
}

const NAMES: &[(&str, c_int)] = &[
    ("F_GETFL", libc::F_GETFL),
    ("F_SETFL", libc::F_SETFL),
    ("O_NONBLOCK", libc::O_NONBLOCK),
    ("O_RDWR", libc::O_RDWR),
    ("MSG_FASTOPEN", libc::MSG_FASTOPEN),
    ("POLLIN", libc::POLLIN as c_int),
    ("POLLOUT", libc::POLLOUT as c_int),
    ("POLLRDHUP", libc::POLLRDHUP as c_int),
    ("SHUT_RD", libc::SHUT_RD),
    ("SHUT_RDWR", libc::SHUT_RDWR),
    ("SHUT_WR", libc::SHUT_WR),
    ("IPPROTO_TCP", libc::IPPROTO_TCP),
    ("SOL_SOCKET", libc::SOL_SOCKET),
    ("SOL_TCP", libc::SOL_TCP),
    ("SO_ERROR", libc::SO_ERROR),
    ("SO_KEEPALIVE", libc::SO_KEEPALIVE),
    ("SO_LINGER", libc::SO_LINGER),
    ("SO_RCVLOWAT", libc::SO_RCVLOWAT),
    ("SO_SNDBUF", libc::SO_SNDBUF),
    ("SO_REUSEADDR", libc::SO_REUSEADDR),
    ("TCP_DEFER_ACCEPT", libc::TCP_DEFER_ACCEPT),
    ("TCP_LINGER2", libc::TCP_LINGER2),
    ("TCP_NODELAY", libc::TCP_NODELAY),
    ("TCP_USER_TIMEOUT", libc::TCP_USER_TIMEOUT),
];

const ERRORS: &[(c_int, &str)] = &[
    (libc::EAGAIN, "EAGAIN"),
    (libc::EALREADY, "EALREADY"),
    (libc::EBADF, "EBADF"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::EINPROGRESS, "EINPROGRESS"),
    (libc::EINVAL, "EINVAL"),
    (libc::EISCONN, "EISCONN"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EPIPE, "EPIPE"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
];
