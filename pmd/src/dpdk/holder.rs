//! Who else uses a device: what drivers do not say when they fail for it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::nic;

/// Another process that has a device.
///
/// The open files of other users' processes show only to root. `root` is where `/proc` and `/sys` are: the root folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its number.
    pub process: u32,
    /// Its name.
    pub name: String,
}

impl Holder {
    /// Who has a NIC open through VFIO or UIO.
    pub fn of_nic(root: &Path, address: &str) -> Option<Self> {
        let files = nic::device_files(root, address);
        if files.is_empty() {
            return None;
        }
        Self::find(root, |file| files.contains(&file.target))
    }

    /// Who made a tap interface.
    pub(super) fn of_tap(root: &Path, interface: &str) -> Option<Self> {
        let is_tap = |file: &OpenFile| {
            let info = fs::read_to_string(file.process.join("fdinfo").join(&file.number));
            info.is_ok_and(|info| {
                info.lines()
                    .any(|line| line.strip_prefix("iff:").is_some_and(|it| it.trim() == interface))
            })
        };
        Self::find(root, |file| file.target == Path::new("/dev/net/tun") && is_tap(file))
    }

    /// The first process other than this one with an open file that `fits`.
    fn find(root: &Path, fits: impl Fn(&OpenFile) -> bool) -> Option<Self> {
        processes(root).find_map(|(process, folder)| {
            (process != std::process::id() && open_files(&folder).any(|file| fits(&file))).then(
                || Self {
                    process,
                    name: fs::read_to_string(folder.join("comm"))
                        .unwrap_or_default()
                        .trim()
                        .to_owned(),
                },
            )
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.process, self.name)
    }
}

/// Who listens on a Unix socket.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Listener {
    Nobody,
    ThisProcess,
    /// Who that is may be hidden.
    Other(Option<Holder>),
}

impl Listener {
    /// An abstract socket's name begins with `@`.
    pub(super) fn at(root: &Path, name: &str) -> Self {
        let Some(inode) = listening_inode(root, name) else { return Self::Nobody };
        let socket = PathBuf::from(format!("socket:[{inode}]"));
        let own = root.join("proc").join(std::process::id().to_string());
        if open_files(&own).any(|file| file.target == socket) {
            return Self::ThisProcess;
        }
        Self::Other(Holder::find(root, |file| file.target == socket))
    }
}

/// The number, reference count, protocol, flags, type, state, inode and name of each socket.
fn listening_inode(root: &Path, name: &str) -> Option<u64> {
    let sockets = fs::read_to_string(root.join("proc/net/unix")).unwrap_or_default();
    sockets.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[_, _, _, flags, _, _, inode, found] = words.as_slice() else { return None };
        let listens = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & LISTENS != 0);
        // The kernel writes zeros at the end of an abstract name as it does the first.
        (listens && found.trim_end_matches('@') == name).then(|| inode.parse().ok())?
    })
}

struct OpenFile {
    process: PathBuf,
    number: String,
    target: PathBuf,
}

fn processes(root: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn open_files(process: &Path) -> impl Iterator<Item = OpenFile> {
    let entries = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let number = entry.file_name().into_string().ok()?;
        Some(OpenFile { process: process.to_owned(), number, target })
    })
}

/// `__SO_ACCEPTCON` of the kernel.
const LISTENS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::super::fake::Root;
    use super::*;

    fn testpmd() -> Option<Holder> {
        Some(Holder { process: 77, name: "testpmd".to_owned() })
    }

    const NIC: &str = "sys/bus/pci/devices/0000:03:00.0";

    #[test]
    fn a_nic_is_held_through_its_group_or_its_uio() {
        for (driver, at, target, file) in [
            ("vfio-pci", "iommu_group", "../../../kernel/iommu_groups/7", "/dev/vfio/7"),
            ("igb_uio", "uio/uio3/device", "../../x", "/dev/uio3"),
        ] {
            let root = Root::new()
                .with_link(&format!("{NIC}/driver"), &format!("../../drivers/{driver}"))
                .with_link(&format!("{NIC}/{at}"), target)
                .with("proc/77/comm", "testpmd\n")
                .with_link("proc/77/fd/2", "/dev/null");
            assert_eq!(Holder::of_nic(root.path(), "0000:03:00.0"), None, "{file}");
            let root = root.with_link("proc/77/fd/5", file);
            assert_eq!(Holder::of_nic(root.path(), "0000:03:00.0"), testpmd(), "{file}");
            assert_eq!(Holder::of_nic(root.path(), "0000:04:00.0"), None, "{file}");
        }
    }

    #[test]
    fn this_process_does_not_stand_in_its_own_way() {
        let root = Root::new()
            .with_link(&format!("{NIC}/driver"), "../../drivers/vfio-pci")
            .with_link(&format!("{NIC}/iommu_group"), "../../../kernel/iommu_groups/7")
            .with_link(&format!("proc/{}/fd/5", std::process::id()), "/dev/vfio/7");
        assert_eq!(Holder::of_nic(root.path(), "0000:03:00.0"), None);
    }

    #[test]
    fn a_tap_is_held_by_who_made_it() {
        let root = Root::new()
            .with("proc/77/comm", "testpmd\n")
            .with_link("proc/77/fd/5", "/dev/net/tun")
            .with("proc/77/fdinfo/5", "pos:\t0\niff:\tdtap1\n");
        assert_eq!(Holder::of_tap(root.path(), "dtap1"), testpmd());
        assert_eq!(Holder::of_tap(root.path(), "dtap"), None);
    }

    #[test]
    fn a_socket_is_held_by_who_listens_on_it() {
        let table = "Num RefCount Protocol Flags Type St Inode Path\n\
            0: 2 0 00010000 0005 01 501 @/run/memif.sock\n\
            0: 2 0 00010000 0005 01 502 @short@@@\n\
            0: 3 0 00000000 0005 03 503 /run/connected\n";
        let root = Root::new()
            .with("proc/net/unix", table)
            .with("proc/77/comm", "testpmd\n")
            .with_link("proc/77/fd/5", "socket:[501]")
            .with_link(&format!("proc/{}/fd/5", std::process::id()), "socket:[502]");
        assert_eq!(Listener::at(root.path(), "@/run/memif.sock"), Listener::Other(testpmd()));
        assert_eq!(Listener::at(root.path(), "@short"), Listener::ThisProcess);
        assert_eq!(Listener::at(root.path(), "/run/connected"), Listener::Nobody);
        assert_eq!(Listener::at(root.path(), "/run/memif.sock"), Listener::Nobody);
        let root = root.with("proc/net/unix", "0: 2 0 00010000 0005 01 504 /run/hidden\n");
        assert_eq!(Listener::at(root.path(), "/run/hidden"), Listener::Other(None));
    }
}
