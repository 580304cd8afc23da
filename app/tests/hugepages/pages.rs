//! Huge pages that a test machine may not have: several nodes, too little memory, users.

use std::fs;

use crate::machine::Machine;

#[test]
fn pages_are_spread_over_the_nodes() {
    let machine = Machine::new().with_nodes(2);
    machine
        .run("reserve 9")
        .succeeds_saying(&["node 0: 5 pages of 2M are free", "node 1: 4 pages of 2M are free"]);
    assert_eq!((machine.pages(0), machine.pages(1)), (5, 4));
}

#[test]
fn each_node_that_is_named_gets_all() {
    let machine = Machine::new().with_nodes(3);
    machine.run("reserve 8 --node 0 --node 2").succeeds_saying(&[]);
    assert_eq!((machine.pages(0), machine.pages(1), machine.pages(2)), (8, 0, 8));
    machine
        .run("reserve 8 --node 3")
        .fails_saying(&["there is no NUMA node 3 with pages of 2M; there are: 0 1 2"]);
}

#[test]
fn memory_may_be_asked_for_instead_of_pages() {
    for (amount, pages) in [("8", 8), ("256M", 128), ("3M", 2), ("1G", 512)] {
        let machine = Machine::new().with_nodes(1);
        machine.run(&format!("reserve {amount}")).succeeds_saying(&[]);
        assert_eq!(machine.pages(0), pages, "{amount}");
    }
}

#[test]
fn pages_in_use_are_not_counted_as_reserved() {
    let machine = Machine::new().with_nodes(1).with_pages(0, 10, 3);
    machine.run("reserve 8").succeeds_saying(&["node 0: 8 pages of 2M are free, of 15"]);
    assert_eq!(machine.pages(0), 15);
    let again = machine.run("reserve 8");
    again.succeeds_saying(&["8 pages of 2M are free already, of 15"]);
    assert_eq!(again.steps(), [""; 0]);
}

#[test]
fn a_kernel_that_gives_fewer_is_caught() {
    let machine = Machine::new().with_nodes(1).with_limit(0, 37);
    machine.run("reserve 512").fails_saying(&[
        "gave node 0 37 of 512 pages of 2M",
        "compact_memory",
        "hugepagesz=2M hugepages=512",
        "hugepages.sh release",
    ]);
}

#[test]
fn a_size_that_the_machine_lacks_is_named() {
    let machine = Machine::new();
    machine.run("reserve 8").fails_saying(&["this machine has no huge pages of 2M"]);
    machine.run("release --size 1G").fails_saying(&["this machine has no huge pages of 1G"]);
    machine.run("release").succeeds_saying(&["no huge pages to give back"]);
}

#[test]
fn each_size_is_mounted_once_and_unmounted_when_it_is_given_back() {
    for (size, folder) in [("2M", "dev/hugepages"), ("1G", "dev/hugepages1G")] {
        let machine = Machine::new().with_nodes(1);
        let mounted = format!("is now mounted at {}", machine.path(folder).display());
        machine.run(&format!("reserve 1 --size {size}")).succeeds_saying(&[
            "+ mkdir -p",
            "+ mount -t hugetlbfs",
            &mounted,
        ]);
        let again = machine.run(&format!("reserve 2 --size {size}"));
        again.succeeds_saying(&["is mounted at"]);
        assert_eq!(again.steps().len(), 1, "{again:?}");
        machine.run("show").succeeds_saying(&["mounted by reserve"]);
        machine.run("release").succeeds_saying(&["+ umount"]);
        assert_eq!(mounts(&machine), "", "{size}");
    }
}

#[test]
fn a_mount_of_others_stays() {
    let line = "hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0";
    let machine = Machine::new().with_nodes(1).with_mount(line);
    machine.run("reserve 8").succeeds_saying(&["is mounted at /dev/hugepages"]);
    let released = machine.run("release");
    released.succeeds_saying(&["node 0: 8 pages of 2M given back, 0 in use"]);
    assert!(!released.out.contains("umount"), "{released:?}");
    assert_eq!(mounts(&machine), format!("{line}\n"));
}

#[test]
fn a_mount_stays_while_another_node_has_pages() {
    let machine = Machine::new().with_nodes(2);
    machine.run("reserve 8").succeeds_saying(&[]);
    machine.run("release --node 0 --size 2M").succeeds_saying(&["stays mounted"]);
    assert_eq!((machine.pages(0), machine.pages(1)), (0, 4));
    machine.run("release --size 1G").succeeds_saying(&["no huge pages to give back"]);
    machine.run("release").succeeds_saying(&["+ umount"]);
}

#[test]
fn release_says_who_keeps_pages() {
    let machine = Machine::new()
        .with_nodes(1)
        .with_pages(0, 10, 7)
        .with_process(4242, "darner", 6144, &[])
        .with_process(4243, "bash", 0, &[]);
    let released = machine.run("release");
    released.succeeds_saying(&[
        "node 0: 7 pages of 2M given back, 3 in use",
        "process 4242 (darner): 6M",
    ]);
    assert!(!released.out.contains("4243"), "{released:?}");
    assert_eq!(machine.pages(0), 3);
}

#[test]
fn release_counts_what_the_kernel_really_gave_back() {
    let machine = Machine::new().with_nodes(1).with_pages(0, 10, 7).with_promised(0, 2);
    machine.run("release").succeeds_saying(&["node 0: 5 pages of 2M given back, 5 in use"]);
}

#[test]
fn a_dry_run_prints_the_same_steps_and_takes_none() {
    let machine = Machine::new().with_nodes(2);
    for line in ["reserve 8", "release"] {
        let before = (machine.log(), mounts(&machine), machine.pages(0));
        let dry = machine.run(&format!("{line} --dry-run"));
        dry.succeeds_saying(&["Dry run: nothing was changed."]);
        assert_eq!((machine.log(), mounts(&machine), machine.pages(0)), before, "{line}");
        let real = machine.run(line);
        real.succeeds_saying(&[]);
        assert_eq!(dry.steps(), real.steps(), "{line}");
        assert!(dry.steps().len() >= 3, "{dry:?}");
    }
}

#[test]
fn a_dry_run_knows_what_others_keep() {
    let machine = Machine::new().with_nodes(2);
    machine.run("reserve 8").succeeds_saying(&["+ mount"]);
    same_steps_without_umount(&machine, "release --node 1");
    let machine = machine.with_pages(0, 4, 3);
    same_steps_without_umount(&machine, "release");
}

#[track_caller]
fn same_steps_without_umount(machine: &Machine, line: &str) {
    let dry = machine.run(&format!("{line} --dry-run"));
    let real = machine.run(line);
    real.succeeds_saying(&["stays mounted"]);
    assert_eq!(dry.steps(), real.steps(), "{line}");
    assert!(!dry.out.contains("umount"), "{dry:?}");
}

fn mounts(machine: &Machine) -> String {
    fs::read_to_string(machine.path("proc/mounts")).expect("the machine has mounts")
}
