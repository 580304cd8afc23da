//! The huge pages of the machine that runs the tests.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, script};

#[test]
fn pages_are_reserved_shown_and_released() {
    let pool = Pool::take();
    let mounts = hugetlb_mounts();
    pool.run("reserve 8").succeeds_saying(&["+ echo ", "nr_hugepages", "are free"]);
    assert_eq!(pool.free(), 8);
    assert_ne!(hugetlb_mounts(), "");
    let shown = pool.run("show");
    let all = shown
        .out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|row| row.starts_with(&["all", "2M"]));
    assert_eq!(all.expect("a row of all nodes")[3], "8", "{shown:?}");
    pool.run("release --size 2M").succeeds_saying(&["pages of 2M given back, "]);
    assert_eq!(pool.free(), 0);
    assert_eq!(hugetlb_mounts(), mounts);
}

#[test]
fn a_dry_run_prints_the_same_steps_and_takes_none() {
    let pool = Pool::take();
    for line in ["reserve 8", "release --size 2M"] {
        let before = (pool.free(), hugetlb_mounts());
        let dry = pool.run(&format!("{line} --dry-run"));
        dry.succeeds_saying(&["Dry run: nothing was changed."]);
        assert_eq!((pool.free(), hugetlb_mounts()), before, "{line}");
        let real = pool.run(line);
        real.succeeds_saying(&[]);
        assert_eq!(dry.steps(), real.steps(), "{line}");
        assert_ne!(dry.steps(), [""; 0]);
    }
}

#[test]
fn a_page_that_a_file_holds_stays_until_it_is_deleted() {
    let pool = Pool::take();
    pool.run("reserve 8").succeeds_saying(&[]);
    let mounts = hugetlb_mounts();
    let folder = mounts
        .lines()
        .find(|line| line.contains("pagesize=2M"))
        .and_then(|line| line.split(' ').nth(1));
    let file = Path::new(folder.expect("reserve mounts")).join("held-by-a-test");
    let held = Command::new("fallocate")
        .args(["--length", "2M"])
        .arg(&file)
        .status()
        .expect("util-linux has fallocate");
    assert!(held.success());
    let released = pool.run("release --size 2M");
    fs::remove_file(&file).expect("it was just made");
    released.succeeds_saying(&[
        "Pages still in use: 1",
        &format!("file {}: 2097152 bytes", file.display()),
    ]);
    assert!(!released.out.contains("+ umount"), "{released:?}");
    pool.run("release --size 2M").succeeds_saying(&[]);
    assert_eq!(pool.free(), 0);
}

#[test]
fn without_privilege_the_remedy_is_told() {
    let pool = Pool::take();
    // Nobody may not be able to reach this folder, so bash gets the script on its input.
    let text = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../hugepages.sh"))
        .expect("the script is there");
    let mut nobody = Command::new("bash");
    nobody.args(["-s", "--", "reserve", "8"]).stdin(text).current_dir("/").uid(65534).gid(65534);
    Outcome::of(nobody.output().expect("root may become nobody"))
        .fails_saying(&["cannot be written", "sudo"]);
    assert_eq!(pool.free(), 0);
}

/// The 2M pages that nobody uses, for one test at a time; afterwards there are as many as before.
struct Pool {
    /// Each node's file and what it said.
    before: Vec<(PathBuf, String)>,
    mountpoint: PathBuf,
    _lock: File,
}

impl Pool {
    fn take() -> Self {
        let lock = File::create(std::env::temp_dir().join("hugepages-test.lock"))
            .expect("the temporary folder is writable");
        lock.lock().expect("a lock can be waited for");
        let nodes = fs::read_dir("/sys/devices/system/node").expect("the kernel knows NUMA nodes");
        let files = nodes.map(|node| {
            node.expect("a name").path().join("hugepages/hugepages-2048kB/nr_hugepages")
        });
        let before: Vec<_> = files
            .filter_map(|file| fs::read_to_string(&file).ok().map(|count| (file, count)))
            .collect();
        for (file, _) in &before {
            fs::write(file, "0").expect("huge pages are root's: run the tests as root");
        }
        let mountpoint =
            std::env::temp_dir().join(format!("hugepages-mount-{}", std::process::id()));
        Self { before, mountpoint, _lock: lock }
    }

    fn run(&self, line: &str) -> Outcome {
        Outcome::of(
            script(line).env("HUGEPAGES_DIR", &self.mountpoint).output().expect("bash runs"),
        )
    }

    fn free(&self) -> usize {
        let files = self.before.iter().map(|(file, _)| file.with_file_name("free_hugepages"));
        let counts = files.map(|file| fs::read_to_string(file).expect("the pool is there"));
        counts.map(|count| count.trim().parse::<usize>().expect("a number")).sum()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // After a failed test something may be mounted; after others these fail, and need not succeed.
        let _ = Command::new("umount").arg(&self.mountpoint).output();
        let _ = fs::remove_dir(&self.mountpoint);
        for (file, count) in &self.before {
            let _ = fs::write(file, count);
        }
    }
}

fn hugetlb_mounts() -> String {
    let mounts = fs::read_to_string("/proc/mounts").expect("there is a /proc");
    mounts
        .lines()
        .filter(|line| line.contains(" hugetlbfs "))
        .map(|line| format!("{line}\n"))
        .collect()
}
