//! A network namespace for one test, and the kernel's side of an interface in it.

use std::process::Command;

/// Puts the calling thread, and what it starts, into a network namespace of its own.
pub(crate) fn enter() {
    // SAFETY: changes this thread's namespace and nothing in memory.
    let code = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(code, 0, "a network namespace needs CAP_SYS_ADMIN: run the tests as root");
    ip("link set lo up");
    // Else the kernel looks for IPv6 routers and neighbours whenever it likes.
    for which in ["all", "default"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1").unwrap();
    }
}

/// Runs iproute2's `ip` there.
pub(crate) fn ip(arguments: &str) -> String {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().expect("ip (iproute2) runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the interface is there.
pub(crate) fn has(interface: &str) -> bool {
    ip("-o link").contains(&format!(" {interface}:"))
}

/// Takes a capability from the calling thread, for good.
pub(crate) fn drop_capability(bit: u32) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Words {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let mut words = [Words::default(); 2];
    let word = usize::try_from(bit / 32).unwrap();
    // SAFETY: version 3 of the call's structures: a header and two triples of words, in memory of ours.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()), 0);
        words[word].effective &= !(1 << (bit % 32));
        assert_eq!(libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()), 0);
    }
}
