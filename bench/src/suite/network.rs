//! Namespaces of the kernel: two with a veth pair between them or with a tap device each, or one with a tap device.

use std::process::Command;

use crate::failure::Failure;

/// Gone when it is dropped.
pub(crate) struct Network {
    names: [String; 2],
}

/// Whether the kernel may hand over packets that were never cut into segments nor summed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offloads {
    On,
    Off,
}

/// The server's address, and the client's.
pub(crate) const ADDRESSES: [&str; 2] = ["10.0.0.2", "10.0.0.16"];

impl Network {
    pub(crate) fn new(number: u32, offloads: Offloads) -> Result<Self, Failure> {
        let id = std::process::id();
        let names = ["s", "c"].map(|side| format!("darner-{side}-{id}-{number}"));
        // Dropped, and so taken away, if anything fails.
        let network = Self { names };
        for name in &network.names {
            run(&format!("ip netns add {name}"))?;
        }
        let [server, client] = &network.names;
        run(&format!("ip link add veth0 netns {server} type veth peer name veth0 netns {client}"))?;
        for (name, address) in network.names.iter().zip(ADDRESSES) {
            give_address(name, "veth0", address)?;
            if offloads == Offloads::Off {
                run(&format!(
                    "ip netns exec {name} ethtool -K veth0 tso off gso off gro off tx off rx off"
                ))?;
            }
            // The client's ports come round within a second.
            run(&format!(
                "ip netns exec {name} sysctl -q -w net.ipv4.ip_local_port_range=1024\t65535 net.ipv4.tcp_tw_reuse=1"
            ))?;
        }
        Ok(network)
    }

    /// A command in the server's namespace, and one in the client's.
    pub(crate) fn commands(&self) -> [Command; 2] {
        self.names.each_ref().map(|name| command_in(name))
    }
}

/// A namespace for a tap device, of which only one server and one client know. Gone when it is dropped.
pub(crate) struct Tap {
    name: String,
}

/// The tap device's name.
pub(crate) const TAP: &str = "dtap0";

/// Who makes the tap device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TapBy {
    /// It is there, and up, before the server is.
    Us,
    Server,
}

impl Tap {
    pub(crate) fn new(number: u32, by: TapBy) -> Result<Self, Failure> {
        let name = format!("darner-t-{}-{number}", std::process::id());
        // Dropped, and so taken away, if anything fails.
        let tap = Self { name };
        let name = &tap.name;
        run(&format!("ip netns add {name}"))?;
        silence(name)?;
        if by == TapBy::Us {
            run(&format!("ip -n {name} tuntap add dev {TAP} mode tap"))?;
            run(&format!("ip -n {name} link set {TAP} up"))?;
        }
        Ok(tap)
    }

    /// The device, which is there by now, gets the client's address.
    pub(crate) fn give_address(&self) -> Result<(), Failure> {
        give_address(&self.name, TAP, ADDRESSES[1])
    }

    /// A command in the namespace.
    pub(crate) fn command(&self) -> Command {
        command_in(&self.name)
    }
}

/// A server's namespace and a client's, for a tap device each. Gone when it is dropped.
pub(crate) struct Apart {
    names: [String; 2],
}

/// The server's tap device, and the client's. Both are made in the server's namespace.
pub(crate) const TAPS: [&str; 2] = ["dtap0", "dtap1"];

impl Apart {
    pub(crate) fn new(number: u32) -> Result<Self, Failure> {
        let id = std::process::id();
        let names = ["ts", "tc"].map(|side| format!("darner-{side}-{id}-{number}"));
        // Dropped, and so taken away, if anything fails.
        let apart = Self { names };
        for name in &apart.names {
            run(&format!("ip netns add {name}"))?;
            silence(name)?;
        }
        Ok(apart)
    }

    /// The taps are there by now: each side gets its own.
    pub(crate) fn take_taps(&self) -> Result<(), Failure> {
        let [server, client] = &self.names;
        run(&format!("ip -n {server} link set {} netns {client}", TAPS[1]))?;
        for (name, (tap, address)) in self.names.iter().zip(TAPS.into_iter().zip(ADDRESSES)) {
            give_address(name, tap, address)?;
        }
        Ok(())
    }

    /// A command in the server's namespace.
    pub(crate) fn server_command(&self) -> Command {
        command_in(&self.names[0])
    }

    /// A command in the client's.
    pub(crate) fn client_command(&self) -> Command {
        command_in(&self.names[1])
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = run(&format!("ip netns delete {name}"));
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = run(&format!("ip netns delete {}", self.name));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = run(&format!("ip netns delete {name}"));
        }
    }
}

fn command_in(namespace: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]);
    command
}

fn give_address(namespace: &str, device: &str, address: &str) -> Result<(), Failure> {
    run(&format!("ip -n {namespace} address add {address}/24 dev {device}"))?;
    run(&format!("ip -n {namespace} link set {device} up"))
}

/// The kernel itself has nothing to say on links there.
fn silence(namespace: &str) -> Result<(), Failure> {
    run(&format!(
        "ip netns exec {namespace} sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
    ))
}

fn run(line: &str) -> Result<(), Failure> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap_or_default()).args(words).output();
    let output = output.map_err(|error| {
        Failure::start(format_args!(
            "cannot run \"{line}\": {error}; scripts/deps bench installs it"
        ))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Failure::start(format_args!("\"{line}\" failed, which needs root: {}", why.trim())))
}
