//! Binding and unbinding cards, and refusing to.

use crate::machine::Machine;

const CARD: &str = "0000:03:00.0";
const OTHER: &str = "0000:03:00.1";

/// One card behind an IOMMU that nothing uses.
fn idle() -> Machine {
    Machine::new().with_card(CARD, "ixgbe", "eth1").with_group("7", &[CARD])
}

#[test]
fn bind_overrides_then_unbinds_then_binds() {
    let machine = idle();
    machine.run("bind 0000:03:00.0").succeeds_saying(&["0000:03:00.0 is bound to vfio-pci"]);
    assert_eq!(
        machine.log(),
        [
            "vfio-pci > bus/pci/devices/0000:03:00.0/driver_override",
            "0000:03:00.0 > bus/pci/drivers/ixgbe/unbind",
            "0000:03:00.0 > bus/pci/drivers/vfio-pci/bind",
        ]
    );
    assert_eq!(machine.driver_of(CARD).as_deref(), Some("vfio-pci"));
}

#[test]
fn unbind_lets_the_kernel_probe_again_and_says_who_took_the_card() {
    let machine = idle();
    machine.run("bind eth1").succeeds_saying(&[]);
    let bound = machine.log().len();
    machine
        .run("unbind 03:00.0")
        .succeeds_saying(&["0000:03:00.0 is with its kernel driver ixgbe"]);
    assert_eq!(
        machine.log()[bound..],
        [
            " > bus/pci/devices/0000:03:00.0/driver_override",
            "0000:03:00.0 > bus/pci/drivers/vfio-pci/unbind",
            "0000:03:00.0 > bus/pci/drivers_probe",
        ]
    );
    assert_eq!(machine.driver_of(CARD).as_deref(), Some("ixgbe"));
    assert_eq!(machine.driver_override(CARD), "(null)");
}

#[test]
fn a_card_has_three_names() {
    for name in ["0000:3b:00.0", "3b:00.0", "3B:00.0", "eth1"] {
        let machine = Machine::new().with_card("0000:3b:00.0", "ixgbe", "eth1");
        machine
            .run(&format!("bind {name}"))
            .succeeds_saying(&["0000:3b:00.0 is bound to uio_pci_generic"]);
    }
}

#[test]
fn a_dry_run_prints_the_same_steps_and_takes_none() {
    for line in ["bind eth1", "unbind 03:00.0"] {
        let machine = idle();
        if line.starts_with("unbind") {
            machine.run("bind eth1").succeeds_saying(&[]);
        }
        let before = (machine.log(), machine.driver_of(CARD));
        let dry = machine.run(&format!("{line} --dry-run"));
        dry.succeeds_saying(&["Dry run: nothing was changed."]);
        assert_eq!((machine.log(), machine.driver_of(CARD)), before, "{line}");
        let real = machine.run(line);
        real.succeeds_saying(&[]);
        assert_eq!(dry.steps(), real.steps(), "{line}");
        assert!(dry.steps().len() >= 3, "{dry:?}");
    }
}

#[test]
fn without_iommu_the_driver_is_uio_pci_generic() {
    let machine = Machine::new().with_card(CARD, "ixgbe", "eth1");
    machine
        .run("bind eth1")
        .succeeds_saying(&["+ modprobe uio_pci_generic", "is bound to uio_pci_generic"]);
    assert_eq!(machine.driver_of(CARD).as_deref(), Some("uio_pci_generic"));
}

#[test]
fn vfio_pci_without_iommu_is_refused_before_anything_changes() {
    let machine = Machine::new().with_card(CARD, "ixgbe", "eth1");
    machine.run("bind eth1 --driver vfio-pci").fails_saying(&[
        "is behind no IOMMU",
        "intel_iommu=on",
        "uio_pci_generic",
    ]);
    assert_untouched(&machine);
}

#[test]
fn the_card_of_the_default_route_is_refused_even_by_force() {
    let ways: [(&str, Machine); 7] = [
        ("IPv4", idle().with_route("4", "default via 192.0.2.1 dev eth1 proto dhcp metric 100")),
        ("IPv6", idle().with_route("6", "default via fe80::1 dev eth1 proto ra metric 1024 pref medium")),
        ("another table", idle().with_route("4", "default via 192.0.2.1 dev eth1 table 100")),
        (
            "the second next hop",
            idle().with_route("4", r"default \	nexthop via 192.0.2.1 dev eth0 weight 1 \	nexthop via 192.0.2.2 dev eth1 weight 1"),
        ),
        ("a bond", idle().with_interface_on("bond0", &["eth1"]).with_route("4", "default via 192.0.2.1 dev bond0")),
        ("a bridge", idle().with_interface_on("br0", &["eth1"]).with_route("6", "default dev br0 metric 1024")),
        (
            "a VLAN on a bond",
            idle()
                .with_interface_on("bond0", &["eth1"])
                .with_interface_on("bond0.7", &["bond0"])
                .with_route("4", "default via 192.0.2.1 dev bond0.7"),
        ),
    ];
    for (way, machine) in ways {
        for line in ["bind eth1", "bind 0000:03:00.0 --force", "bind eth1 --dry-run"] {
            let outcome = machine.run(line);
            assert_eq!(outcome.status, Some(1), "{way}: {outcome:?}");
            assert!(
                outcome.err.contains("the default route leads through 0000:03:00.0"),
                "{way}: {outcome:?}"
            );
            assert_untouched(&machine);
        }
    }
}

#[test]
fn a_default_route_elsewhere_does_not_matter() {
    for (card, other) in [("eth1", "eth10"), ("eth10", "eth1")] {
        let machine = idle()
            .with_card(OTHER, "ixgbe", "eth10")
            .with_route("4", &format!("default via 192.0.2.1 dev {other}"))
            .with_route("6", "unreachable default dev lo metric 4294967295 error -101");
        machine.run(&format!("bind {card}")).succeeds_saying(&["is bound to"]);
    }
}

#[test]
fn an_unknown_default_route_stops_bind() {
    let machine = idle();
    std::fs::remove_file(machine.path("routes4")).unwrap();
    machine.run("bind eth1").fails_saying(&["the default route is unknown"]);
    assert_untouched(&machine);
}

#[test]
fn a_card_that_is_up_with_an_address_is_taken_only_by_force() {
    let ways = [
        ("IPv4", idle().with_up("eth1").with_address("eth1", "198.51.100.7/24"), "198.51.100.7/24"),
        ("IPv6", idle().with_up("eth1").with_address("eth1", "2001:db8::7/64"), "2001:db8::7/64"),
        (
            "its bridge",
            idle()
                .with_up("eth1")
                .with_interface_on("br0", &["eth1"])
                .with_address("br0", "198.51.100.8/24"),
            "br0 is up and has 198.51.100.8/24",
        ),
    ];
    for (way, machine, says) in ways {
        machine.run("bind eth1").fails_saying(&["is in use", says, "--force"]);
        assert_untouched(&machine);
        machine.run("bind eth1 --force").succeeds_saying(&["is bound to vfio-pci"]);
        assert_eq!(machine.driver_of(CARD).as_deref(), Some("vfio-pci"), "{way}");
    }
}

#[test]
fn addresses_that_nobody_uses_do_not_matter() {
    let ways = [
        ("down", idle().with_address("eth1", "198.51.100.7/24")),
        ("up by itself", idle().with_up("eth1").with_address("eth1", "fe80::1/64")),
    ];
    for (way, machine) in ways {
        let outcome = machine.run("bind eth1");
        assert_eq!(outcome.status, Some(0), "{way}: {outcome:?}");
    }
}

#[test]
fn what_is_no_card_is_named() {
    let machine = idle().with_disk("0000:04:00.0").with_interface_on("tap0", &[]);
    for (name, says) in [
        ("eth9", "there is no card or interface eth9"),
        ("0000:09:00.0", "there is no card 0000:09:00.0"),
        ("09:00.0", "there is no card 0000:09:00.0"),
        ("tap0", "tap0 is not an interface of a PCI card"),
        ("0000:04:00.0", "0000:04:00.0 is not a network card"),
        ("../eth1", "neither a PCI address nor an interface"),
    ] {
        for command in ["bind", "unbind"] {
            machine.run(&format!("{command} {name}")).fails_saying(&[says]);
        }
    }
    assert_untouched(&machine);
}

#[test]
fn a_card_that_is_bound_already_is_left_alone() {
    let machine = idle();
    machine.run("bind eth1").succeeds_saying(&[]);
    let before = machine.log();
    for line in ["bind 03:00.0", "bind 03:00.0 --driver vfio-pci"] {
        machine
            .run(line)
            .fails_saying(&["is bound to vfio-pci already", "hugepages.sh unbind 0000:03:00.0"]);
    }
    assert_eq!(machine.log(), before);
    machine
        .run("bind 03:00.0 --driver uio_pci_generic")
        .succeeds_saying(&["is bound to uio_pci_generic"]);
    machine.run("bind 03:00.0").fails_saying(&["is bound to uio_pci_generic already"]);
}

#[test]
fn a_card_with_its_kernel_driver_is_not_unbound() {
    let machine = idle();
    machine.run("unbind 0000:03:00.0").fails_saying(&["is with its kernel driver ixgbe already"]);
    assert_untouched(&machine);
}

#[test]
fn a_missing_module_is_named_before_anything_changes() {
    let machine = idle().without_module("vfio-pci");
    machine.run("bind eth1").fails_saying(&[
        "vfio-pci cannot be loaded",
        "Module vfio-pci not found",
        "Install the modules of the running kernel",
        "--driver uio_pci_generic",
    ]);
    assert_untouched(&machine);
}

#[test]
fn a_card_that_the_new_driver_refuses_goes_back_to_its_own() {
    let machine = idle().with_refusing("vfio-pci");
    machine.run("bind eth1").fails_saying(&[
        "vfio-pci does not take 0000:03:00.0",
        "Invalid argument",
        "is back with ixgbe",
    ]);
    assert_untouched_now(&machine);
    assert_eq!(machine.log().len(), 5, "three steps there, two back");
}

#[test]
fn a_driver_that_takes_no_card_and_says_nothing_is_caught() {
    let machine = idle().with_ignoring("vfio-pci");
    machine
        .run("bind eth1")
        .fails_saying(&["vfio-pci did not take 0000:03:00.0", "is back with ixgbe"]);
    assert_untouched_now(&machine);
}

#[test]
fn a_card_that_a_program_has_open_is_refused() {
    let machine = idle().with_process(4242, "darner", 0, &["/dev/null"]);
    machine.run("bind eth1").succeeds_saying(&[]);
    let machine = machine.with_process(4243, "testpmd", 0, &["/dev/null", "/dev/vfio/7"]);
    machine.run("unbind 03:00.0").fails_saying(&["process 4243 (testpmd) has 0000:03:00.0 open"]);
    assert_eq!(machine.driver_of(CARD).as_deref(), Some("vfio-pci"));
}

#[test]
fn a_card_that_no_kernel_driver_wants_is_told_with_its_modalias() {
    let machine = idle();
    machine.run("bind eth1").succeeds_saying(&[]);
    let machine = machine.with_forgotten(CARD);
    machine
        .run("unbind 03:00.0")
        .fails_saying(&["no kernel driver took 0000:03:00.0", "modprobe pci:v00008086d000010FB"]);
    assert_eq!(machine.driver_override(CARD), "(null)");
}

#[test]
fn the_rest_of_the_iommu_group_is_told() {
    let machine = Machine::new()
        .with_card(CARD, "ixgbe", "eth1")
        .with_card(OTHER, "ixgbe", "eth2")
        .with_group("7", &[CARD, OTHER]);
    machine
        .run("bind eth1")
        .succeeds_saying(&["0000:03:00.1 is in the same IOMMU group and with ixgbe"]);
    let last = machine.run("bind eth2");
    last.succeeds_saying(&["0000:03:00.1 is bound to vfio-pci"]);
    assert!(!last.out.contains("same IOMMU group"), "{last:?}");
}

#[test]
fn show_lists_cards_with_drivers_and_the_default_route() {
    let machine = idle()
        .with_card(OTHER, "ixgbe", "eth2")
        .with_disk("0000:04:00.0")
        .with_interface_on("br0", &["eth2"])
        .with_route("6", "default dev br0 metric 1024")
        .without_module("uio_pci_generic");
    machine.run("bind eth1").succeeds_saying(&[]);
    let shown = machine.run("show");
    let row = |start: &str| {
        let line = shown.out.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("0000:03:00.0"), "0000:03:00.0 eth1 vfio-pci");
    assert_eq!(row("0000:03:00.1"), "0000:03:00.1 eth2 ixgbe default route");
    assert_eq!(row("vfio-pci"), "vfio-pci: loaded");
    assert_eq!(row("uio_pci_generic"), "uio_pci_generic: not there: the kernel has no such module");
    assert_eq!(row("IOMMU"), "IOMMU: on");
    assert!(!shown.out.contains("0000:04:00.0"), "{shown:?}");
}

/// Nothing was written, and the card is where it was.
#[track_caller]
fn assert_untouched(machine: &Machine) {
    assert_eq!(machine.log(), [""; 0]);
    assert_untouched_now(machine);
}

#[track_caller]
fn assert_untouched_now(machine: &Machine) {
    assert_eq!(machine.driver_of(CARD).as_deref(), Some("ixgbe"));
    assert_eq!(machine.driver_override(CARD), "(null)");
}
