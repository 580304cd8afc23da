//! The machine, as the files of `/proc`, `/sys` and `/dev` show it.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::settings::CpuList;

/// Where those files are looked for; a test has a folder of its own. What cannot be read is `None`, or empty.
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    pub(super) fn here() -> Self {
        Self::at(Path::new("/"))
    }

    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a path that begins below the root is.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file without the white space at its ends.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(super) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// CPUs in a file such as `/sys/devices/system/cpu/online`; an empty file lists none.
    pub(super) fn cpus(&self, path: &str) -> Option<Vec<usize>> {
        self.text(path).map(|text| cpus(&text))
    }

    /// The value of a line `name: value`.
    pub(super) fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.text(path)?;
        text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == name).then(|| value.trim().to_owned())
        })
    }

    /// What a folder holds, sorted.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The last part of what a symbolic link says.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }
}

/// CPUs in the kernel's words; anything else, such as `(null)`, lists none.
pub(super) fn cpus(text: &str) -> Vec<usize> {
    text.parse().map(|CpuList(cpus)| cpus).unwrap_or_default()
}

/// CPUs as the kernel writes them: `0,2-3`.
pub(super) fn list(cpus: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = vec![];
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let range = |&(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

/// "CPU 1", "CPUs 1,3".
pub(super) fn named(cpus: &[usize]) -> String {
    format!("{} {}", if cpus.len() == 1 { "CPU" } else { "CPUs" }, list(cpus))
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn what_is_not_there_is_nothing() {
        let machine = Fake::new().machine();
        assert_eq!(machine.text("proc/cmdline"), None);
        assert_eq!(machine.number::<u32>("proc/cmdline"), None);
        assert_eq!(machine.field("proc/self/status", "CapEff"), None);
        assert_eq!(machine.link("sys/driver"), None);
        assert!(machine.names("sys/class/net").is_empty() && !machine.has("dev/net/tun"));
    }

    #[test]
    fn fields_and_links_are_read() {
        let fake = Fake::new()
            .with("proc/self/status", "Name:\tdarner\nCapEff:\t0000000000001000\n")
            .with_link("sys/device/driver", "../../drivers/e1000");
        let machine = fake.machine();
        assert_eq!(machine.field("proc/self/status", "CapEff").unwrap(), "0000000000001000");
        assert_eq!(machine.link("sys/device/driver").unwrap(), "e1000");
    }

    #[test]
    fn cpus_are_read_and_written_as_the_kernel_does() {
        for text in ["", "0", "0,2-3", "1-4"] {
            assert_eq!(list(&cpus(text)), text);
        }
        assert!(cpus("(null)").is_empty());
        assert_eq!((named(&[3]), named(&[0, 1])), ("CPU 3".to_owned(), "CPUs 0-1".to_owned()));
    }
}
