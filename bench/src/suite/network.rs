//! Namespaces of the kernel: two with a veth pair between them, or one with a tap device.

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
            run(&format!("ip -n {name} address add {address}/24 dev veth0"))?;
            run(&format!("ip -n {name} link set veth0 up"))?;
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
        [0, 1].map(|side: usize| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &self.names[side]]);
            command
        })
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
        // The kernel itself has nothing to say on this link.
        run(&format!(
            "ip netns exec {name} sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
        ))?;
        if by == TapBy::Us {
            run(&format!("ip -n {name} tuntap add dev {TAP} mode tap"))?;
            run(&format!("ip -n {name} link set {TAP} up"))?;
        }
        Ok(tap)
    }

    /// A command in the namespace.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        command
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
