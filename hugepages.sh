#!/usr/bin/env bash
# Huge pages and PCI network cards for DPDK; `hugepages.sh --help` says how to use it.
#
# Every step is printed before it is done. Nothing is remembered in a file: the kernel's own state says what there is to give back. A
# mount that is ours has the source `hugepages.sh`, and a card that is ours has a driver of user space.
set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

sysfs=${HUGEPAGES_SYSFS:-/sys}
proc=${HUGEPAGES_PROC:-/proc}
hugetlbfs=${HUGEPAGES_DIR:-/dev/hugepages}
writer=${HUGEPAGES_WRITE:-write_line}

main() {
    read_arguments "$@"
    case "$command" in
    reserve) reserve_pages "$subject" ;;
    show)
        show_pages
        show_mounts
        show_cards
        show_drivers
        ;;
    release) release_pages ;;
    bind) bind_card "$subject" ;;
    unbind) unbind_card "$subject" ;;
    esac
    [ "$dry_run" = no ] || echo 'Dry run: nothing was changed.'
}

help() {
    cat <<'TEXT'
Huge pages and PCI network cards for DPDK.

  hugepages.sh reserve N [--node K]... [--size 2M|1G]   makes N huge pages free, and mounts hugetlbfs
  hugepages.sh show                                     huge pages, mounts, network cards, drivers
  hugepages.sh release [--node K]... [--size 2M|1G]     gives back the pages that are free, and the mount
  hugepages.sh bind PCI|INTERFACE [--driver vfio-pci|uio_pci_generic] [--force]
                                                        gives a network card to DPDK
  hugepages.sh unbind PCI                               gives it back to its kernel driver

N is a number of pages, or an amount of memory such as 256M or 4G. It is spread over the NUMA nodes, or it is what
each --node gets.
Pages are of 2M unless --size says otherwise. `release` takes all nodes and sizes unless told.

`bind` takes vfio-pci if there is an IOMMU, else uio_pci_generic. It never takes the card that the default route
leads through, and only with --force one that is up and has an address.

  --dry-run   prints the same steps and changes nothing
  --help      this text

Status: 0 done, 1 failed, 2 wrong use.

Examples:
  sudo ./hugepages.sh reserve 512
  sudo ./hugepages.sh reserve 4G --size 1G --node 0
  sudo ./hugepages.sh bind 0000:03:00.0

For tests, which stand in for the kernel:
  HUGEPAGES_SYSFS, HUGEPAGES_PROC   the folders to use as /sys and /proc
  HUGEPAGES_DIR                     where to mount hugetlbfs, instead of /dev/hugepages (and /dev/hugepages1G)
  HUGEPAGES_WRITE                   a command that is given VALUE and FILE, and writes the one to the other
  PATH                              where ip, modprobe, mount and umount are looked for first
TEXT
}

read_arguments() {
    command='' subject='' size='' driver='' dry_run=no force=no nodes=()
    local options=() words=() option
    while [ $# -gt 0 ]; do
        case "$1" in
        --help | -h) help && exit 0 ;;
        --dry-run) dry_run=yes ;;
        --force) options+=("$1") force=yes ;;
        --node | --size | --driver)
            [ $# -gt 1 ] || misuse "$1 needs a value"
            options+=("$1")
            set_option "$1" "$2"
            shift
            ;;
        -*) misuse "there is no option $1" ;;
        *) words+=("$1") ;;
        esac
        shift
    done
    read_words "${words[@]}"
    for option in "${options[@]}"; do
        [[ "$command $option" =~ ^((reserve|release)\ --(node|size)|bind\ --(driver|force))$ ]] || misuse "$command has no option $option"
    done
}

set_option() { # OPTION VALUE
    case "$1 $2" in
    '--size 2M' | '--size 1G') size=$2 ;;
    '--driver vfio-pci' | '--driver uio_pci_generic') driver=$2 ;;
    '--size '*) misuse "--size is 2M or 1G, not $2" ;;
    '--driver '*) misuse "--driver is vfio-pci or uio_pci_generic, not $2" ;;
    *)
        [[ $2 =~ ^(0|[1-9][0-9]{0,3})$ ]] || misuse "--node is the number of a NUMA node, not $2"
        nodes+=("$2")
        ;;
    esac
}

read_words() { # [COMMAND [SUBJECT]]
    command=${1:-} subject=${2:-}
    local takes=2 # words, the command included
    case "$command" in
    reserve) [ -n "$subject" ] || misuse 'reserve needs a number of pages' ;;
    bind) [ -n "$subject" ] || misuse 'bind needs a PCI address or an interface' ;;
    unbind) [ -n "$subject" ] || misuse 'unbind needs a PCI address' ;;
    show | release) takes=1 ;;
    '') misuse 'what to do is missing: reserve, show, release, bind or unbind' ;;
    *) misuse "there is no command $command" ;;
    esac
    [ $# -le "$takes" ] || misuse "$command has no argument ${*:$#}"
}

# ---- reserve and release ----

reserve_pages() { # N
    local kib pages here node count share index=0
    kib=$(kib_of "${size:-2M}")
    pages=$(pages_in "$1" "$kib")
    here=$(chosen_nodes "$kib")
    count=$(wc -w <<<"$here")
    for node in $here; do
        share=$pages
        [ "${#nodes[@]}" -gt 0 ] || share=$((pages / count + (index++ < pages % count)))
        reserve_on "$node" "$kib" "$share"
    done
    mount_pages "$kib"
}

# The pages that others use stay theirs: what is asked for comes on top.
reserve_on() { # NODE KIB PAGES
    local pool total free wanted given
    pool=$(pool "$1" "$2")
    total=$(<"$pool/nr_hugepages")
    free=$(<"$pool/free_hugepages")
    [ "$free" -lt "$3" ] || { echo "node $1: $free pages of $(label "$2") are free already, of $total" && return; }
    wanted=$((total - free + $3))
    require_privilege "$pool/nr_hugepages"
    put "$wanted" "$pool/nr_hugepages" || fail "node $1 takes no more huge pages: $reason"
    [ "$dry_run" = no ] || return 0
    given=$(<"$pool/nr_hugepages")
    [ "$given" -ge "$wanted" ] ||
        fail "the kernel gave node $1 $given of $wanted pages of $(label "$2"): it finds no more memory in one piece. What helps:
  end programs that take much memory, then put what is left together and ask again:
    echo 1 > /proc/sys/vm/drop_caches; echo 1 > /proc/sys/vm/compact_memory
  or reserve at boot, with these parameters of the kernel: hugepagesz=$(label "$2") hugepages=$wanted
The $given pages stay; \`hugepages.sh release\` gives them back"
    echo "node $1: $(<"$pool/free_hugepages") pages of $(label "$2") are free, of $given"
}

mount_pages() { # KIB
    local mounted folder
    mounted=$(mounts_of "$1" | head -n 1)
    [ -z "$mounted" ] || { echo "hugetlbfs for pages of $(label "$1") is mounted at ${mounted#* }" && return; }
    folder=$hugetlbfs
    [ "$(label "$1")" = 2M ] || folder=$hugetlbfs$(label "$1")
    [ -d "$folder" ] || run mkdir -p "$folder" || fail "there is no folder to mount hugetlbfs on: $reason"
    run mount -t hugetlbfs -o "pagesize=$(($1 / 1024))M" "$OURS" "$folder" ||
        fail "hugetlbfs cannot be mounted at $folder: $reason. The pages are reserved; EAL's --in-memory needs no mount"
    [ "$dry_run" = yes ] || echo "hugetlbfs for pages of $(label "$1") is now mounted at $folder"
}

release_pages() {
    local kib node sizes here remaining left=0 found=no
    if [ -n "$size" ]; then sizes=$(kib_of "$size"); else sizes=$(all_sizes); fi
    for kib in $sizes; do
        here=$(chosen_nodes "$kib")
        remaining=$(<"$(pool all "$kib")/nr_hugepages")
        for node in $here; do
            release_on "$node" "$kib"
        done
        unmount_pages "$kib"
    done
    [ "$left" = 0 ] || tell_holders
    [ "$found" = yes ] || echo 'There are no huge pages to give back.'
}

# Adds to `left` what programs still use, which the kernel takes back when they let it go; takes from `remaining` what is given back.
release_on() { # NODE KIB
    local pool total used
    pool=$(pool "$1" "$2")
    total=$(<"$pool/nr_hugepages")
    [ "$total" -gt 0 ] || return 0
    found=yes
    used=$((total - $(<"$pool/free_hugepages")))
    require_privilege "$pool/nr_hugepages"
    put 0 "$pool/nr_hugepages" || fail "node $1 does not give its pages back: $reason"
    [ "$dry_run" = yes ] || used=$(<"$pool/nr_hugepages")
    left=$((left + used)) remaining=$((remaining - total + used))
    echo "node $1: $((total - used)) pages of $(label "$2") given back, $used in use"
}

tell_holders() {
    local file amount
    echo "Pages still in use: $left. The kernel takes them back when they are let go. What holds them, as far as can be seen:"
    # One line per process: FILE:HugetlbPages: AMOUNT kB.
    { grep -Hs '^HugetlbPages:' "$proc"/[0-9]*/status || true; } | while IFS=: read -r file _ amount; do
        amount=${amount//[!0-9]/}
        [ "$amount" -gt 0 ] || continue
        file=${file%/status}
        echo "  process ${file##*/} ($(<"$file/comm")): $((amount / 1024))M"
    done
    while read -r _ file _; do
        find "$file" -type f -printf '  file %p: %s bytes (delete it if its program has ended)\n'
    done < <(hugetlb_mounts)
}

# Unmounts what `reserve` mounted, unless pages are left: others may use them, or --node has kept them.
unmount_pages() { # KIB
    local source folder
    while read -r source folder; do
        [ "$source" = "$OURS" ] || continue
        if [ "$remaining" -gt 0 ]; then
            echo "$folder stays mounted: pages of $(label "$1") are left"
            continue
        fi
        found=yes
        run umount "$folder" || fail "$folder cannot be unmounted: $reason; try again when no program uses it"
    done < <(mounts_of "$1")
}

# ---- show ----

show_pages() {
    local kib node
    echo 'Huge pages (the kernel counts the reserved ones, promised and not yet touched, over all nodes)'
    page_row node size total free reserved
    while read -r kib; do
        while read -r node; do
            [ "$node" = all ] || pool_row "$node" "$kib" -
        done < <(nodes_with "$kib")
        pool_row all "$kib" "$(<"$(pool all "$kib")/resv_hugepages")"
    done < <(all_sizes)
}

pool_row() { # NODE KIB RESERVED
    local pool
    pool=$(pool "$1" "$2")
    page_row "$1" "$(label "$2")" "$(<"$pool/nr_hugepages")" "$(<"$pool/free_hugepages")" "$3"
}

page_row() { # NODE SIZE TOTAL FREE RESERVED
    printf '%-8s %5s %8s %8s %9s\n' "$@"
}

show_mounts() {
    local source folder options note
    printf '\nMounts of hugetlbfs\n'
    while read -r source folder options; do
        [ "$source" = "$OURS" ] && note=', mounted by reserve' || note=''
        echo "$folder ($options)$note"
    done < <(hugetlb_mounts)
}

show_cards() {
    local card names routed above
    routed=$(interfaces_with_default_route)
    printf '\nNetwork cards\n'
    card_row PCI interface driver ''
    while read -r card; do
        names=$(interfaces_of "$card" | paste -sd ' ')
        above=$(on_default_route "$card" "$routed")
        card_row "$card" "${names:--}" "$(driver_of "$card")" "${above:+default route}"
    done < <(all_cards)
}

card_row() { # PCI INTERFACES DRIVER NOTE
    printf '%-13s %-16s %-16s %s\n' "$@"
}

show_drivers() {
    local module state
    printf '\nDrivers of user space\n'
    for module in vfio-pci uio_pci_generic; do
        if [ -d "$sysfs/bus/pci/drivers/$module" ]; then
            state='loaded'
        elif modprobe --dry-run --quiet "$module" 2>/dev/null; then
            state='available, not loaded'
        else
            state='not there: the kernel has no such module'
        fi
        echo "$module: $state"
    done
    state='off (vfio-pci needs it; the kernel parameter is intel_iommu=on, on AMD amd_iommu=on)'
    [ -z "$(find "$sysfs/kernel/iommu_groups" -mindepth 1 -print -quit 2>/dev/null)" ] || state=on
    echo "IOMMU: $state"
}

# ---- bind and unbind ----

bind_card() { # PCI|INTERFACE
    local card current
    card=$(card_named "$1")
    current=$(driver_of "$card")
    [ -n "$driver" ] ||
        if is_of_user_space "$current"; then driver=$current; elif has_vfio "$card"; then driver=vfio-pci; else driver=uio_pci_generic; fi
    [ "$driver" != "$current" ] || fail "$card is bound to $driver already; \`hugepages.sh unbind $card\` gives it back to the kernel"
    refuse_to_lose_the_default_route "$card"
    [ "$force" = yes ] || refuse_card_with_addresses "$card"
    require_privilege "$sysfs/bus/pci/devices/$card/driver_override"
    require_driver "$card"
    refuse_card_in_use "$card"
    move_card "$card" "$driver" "$current"
    [ "$driver" != vfio-pci ] || tell_group "$card"
}

# The card that connects this machine is never taken, --force or not.
refuse_to_lose_the_default_route() { # PCI
    local routed above
    routed=$(interfaces_with_default_route)
    above=$(on_default_route "$1" "$routed")
    [ -z "$above" ] || fail "the default route leads through $1 (interface $above): without it this machine loses its network.
Take another card (\`hugepages.sh show\` lists them), or let the default route lead through another one first"
}

refuse_card_with_addresses() { # PCI
    local interface interfaces addresses
    interfaces=$(interfaces_above "$1")
    for interface in $interfaces; do
        (($(<"$sysfs/class/net/$interface/flags") & 1)) || continue # IFF_UP
        addresses=$(addresses_of "$interface")
        [ -z "$addresses" ] || fail "$1 is in use: $interface is up and has $addresses.
Take it down first (\`ip link set $interface down\`), or add --force"
    done
}

require_driver() { # PCI
    local advice="use --driver uio_pci_generic"
    if [ "$driver" = vfio-pci ] && ! has_vfio "$1"; then
        fail "$1 is behind no IOMMU, and vfio-pci needs one: turn it on in the firmware and with the kernel parameter intel_iommu=on (on AMD
amd_iommu=on), or $advice"
    fi
    [ ! -d "$sysfs/bus/pci/drivers/$driver" ] || return 0
    [ "$driver" = uio_pci_generic ] && advice='use --driver vfio-pci on a machine with an IOMMU'
    run modprobe "$driver" || reason="${reason:-modprobe failed}"
    [ "$dry_run" = yes ] || [ -d "$sysfs/bus/pci/drivers/$driver" ] ||
        fail "the driver $driver cannot be loaded: ${reason:-it is not there after modprobe}.
Install the modules of the running kernel $(uname -r) (and modprobe, from the package kmod), or $advice"
}

# While a program has the card open, vfio-pci would not let it go, and wait without a word.
refuse_card_in_use() { # PCI
    local group link process
    group=$(readlink "$sysfs/bus/pci/devices/$1/iommu_group") || return 0
    for link in "$proc"/[0-9]*/fd/*; do
        process=${link%/fd/*}
        [ "$(readlink "$link")" != "/dev/vfio/${group##*/}" ] ||
            fail "process ${process##*/} ($(<"$process/comm")) has $1 open: end it first"
    done
}

# driver_override comes first: whatever probes the card from then on finds the new driver alone.
move_card() { # PCI NEW OLD
    put "$2" "$sysfs/bus/pci/devices/$1/driver_override" || fail "$1 does not take the driver $2: $reason"
    [ -z "$3" ] || put "$1" "$sysfs/bus/pci/drivers/$3/unbind" || give_up_on "$1" "$3 does not let go of $1: $reason"
    put "$1" "$sysfs/bus/pci/drivers/$2/bind" || give_up_on "$1" "$2 does not take $1: $reason"
    [ "$dry_run" = no ] || return 0
    [ "$(driver_of "$1")" = "$2" ] || give_up_on "$1" "$2 did not take $1"
    echo "$1 is bound to $2; \`hugepages.sh unbind $1\` gives it back to the kernel"
}

give_up_on() { # PCI WHY
    local now
    put '' "$sysfs/bus/pci/devices/$1/driver_override" || true
    put "$1" "$sysfs/bus/pci/drivers_probe" || true
    now=$(driver_of "$1")
    fail "$2. \`dmesg | tail\` may say more; uio_pci_generic takes no virtual function, vfio-pci needs an IOMMU.
$1 is ${now:+back }with ${now:-no driver}"
}

# DPDK opens a card only if the rest of its IOMMU group is idle or on vfio-pci too.
tell_group() { # PCI
    local other with
    for other in "$sysfs/bus/pci/devices/$1/iommu_group/devices"/*; do
        with=$(driver_of "${other##*/}")
        [ "${with:-vfio-pci}" = vfio-pci ] ||
            echo "Note: ${other##*/} is in the same IOMMU group and with $with: DPDK can open $1 only when vfio-pci has that too"
    done
}

unbind_card() { # PCI
    local card current now
    card=$(card_named "$1")
    current=$(driver_of "$card")
    [ -z "$current" ] || is_of_user_space "$current" || fail "$card is with its kernel driver $current already"
    require_privilege "$sysfs/bus/pci/devices/$card/driver_override"
    refuse_card_in_use "$card"
    put '' "$sysfs/bus/pci/devices/$card/driver_override" || fail "$card keeps its driver: $reason"
    [ -z "$current" ] || put "$card" "$sysfs/bus/pci/drivers/$current/unbind" || fail "$current does not let go of $card: $reason"
    put "$card" "$sysfs/bus/pci/drivers_probe" || fail "the kernel does not probe $card: $reason"
    [ "$dry_run" = no ] || return 0
    now=$(driver_of "$card")
    [ -n "$now" ] ||
        fail "no kernel driver took $card: load its module (\`modprobe $(<"$sysfs/bus/pci/devices/$card/modalias")\`) and try again"
    echo "$card is with its kernel driver $now"
}

# ---- what the machine has: pages ----

kib_of() { # 2M|1G
    if [ "$1" = 1G ]; then echo 1048576; else echo 2048; fi
}

label() { # KIB
    if [ "$1" -ge 1048576 ]; then echo "$(($1 / 1048576))G"; elif [ "$1" -ge 1024 ]; then echo "$(($1 / 1024))M"; else echo "$1k"; fi
}

pages_in() { # N|AMOUNT KIB
    [[ $1 =~ ^([1-9][0-9]{0,8})([MG]?)$ ]] || misuse "reserve needs a number of pages, or an amount such as 256M or 4G, not $1"
    case "${BASH_REMATCH[2]}" in
    M) echo $(((BASH_REMATCH[1] * 1024 + $2 - 1) / $2)) ;;
    G) echo $(((BASH_REMATCH[1] * 1048576 + $2 - 1) / $2)) ;;
    *) echo "$1" ;;
    esac
}

# In KiB.
all_sizes() {
    local folder
    for folder in "$sysfs"/kernel/mm/hugepages/hugepages-*kB; do
        [ ! -d "$folder" ] || tr -dc '0-9\n' <<<"${folder##*/}"
    done | sort -n
}

# The NUMA nodes that have pages of a size; `all` on a kernel that knows no nodes.
nodes_with() { # KIB
    local folder
    for folder in "$sysfs"/devices/system/node/node[0-9]*/hugepages/"hugepages-$1kB"; do
        folder=${folder%/hugepages/*}
        [ ! -d "$folder" ] || echo "${folder##*/node}"
    done | sort -n
    [ -d "$sysfs/devices/system/node" ] || [ ! -d "$(pool all "$1")" ] || echo all
}

# Those of --node, or all.
chosen_nodes() { # KIB
    local here node
    here=$(nodes_with "$1")
    [ -n "$here" ] || fail "this machine has no huge pages of $(label "$1"); \`hugepages.sh show\` says what it has"
    for node in "${nodes[@]}"; do
        grep -qx "$node" <<<"$here" ||
            fail "there is no NUMA node $node with pages of $(label "$1"); there are: $(paste -sd ' ' <<<"$here")"
        echo "$node"
    done
    [ "${#nodes[@]}" -gt 0 ] || echo "$here"
}

pool() { # NODE KIB
    local of=devices/system/node/node$1
    [ "$1" != all ] || of=kernel/mm
    echo "$sysfs/$of/hugepages/hugepages-$2kB"
}

# SOURCE FOLDER OPTIONS
hugetlb_mounts() {
    awk '$3 == "hugetlbfs" { print $1, $2, $4 }' "$proc/mounts"
}

# SOURCE FOLDER
mounts_of() { # KIB
    hugetlb_mounts | awk -v "size=pagesize=$(($1 / 1024))M" '("," $3 ",") ~ ("," size ",") { print $1, $2 }'
}

# ---- what the machine has: cards ----

all_cards() {
    local device
    for device in "$sysfs"/bus/pci/devices/*; do
        ! is_network_card "${device##*/}" || echo "${device##*/}"
    done
}

is_network_card() { # PCI
    grep -qs '^0x02' "$sysfs/bus/pci/devices/$1/class"
}

card_named() { # PCI|INTERFACE
    local card=${1,,}
    [[ ! $card =~ ^$SHORT_PCI$ ]] || card=0000:$card
    if [[ ! $card =~ ^$PCI$ ]]; then
        [[ $1 != */* ]] || fail "$1 is neither a PCI address nor an interface"
        [ -d "$sysfs/class/net/$1" ] || fail "there is no card or interface $1; \`hugepages.sh show\` lists the cards"
        card=$(card_of "$1")
        [ -n "$card" ] || fail "$1 is not an interface of a PCI card; \`hugepages.sh show\` lists the cards"
    fi
    [ -d "$sysfs/bus/pci/devices/$card" ] || fail "there is no card $card; \`hugepages.sh show\` lists the cards"
    is_network_card "$card" || fail "$card is not a network card; \`hugepages.sh show\` lists the cards"
    echo "$card"
}

# An interface's folder lies below its card's, with a bus such as virtio between them for some.
card_of() { # INTERFACE
    readlink -f "$sysfs/class/net/$1" | { grep -oE "$PCI" || [ $? = 1 ]; } | tail -n 1
}

interfaces_of() { # PCI
    local folder
    for folder in "$sysfs"/class/net/*; do
        [ "$(card_of "${folder##*/}")" != "$1" ] || echo "${folder##*/}"
    done
}

# The card's interfaces and all that stand on them: bonds, bridges, VLANs.
interfaces_above() { # PCI
    local interface
    for interface in $(interfaces_of "$1"); do
        climb "$interface"
    done | sort -u
}

climb() { # INTERFACE
    local link
    echo "$1"
    for link in "$sysfs/class/net/$1"/upper_*; do
        [ ! -e "$link" ] || climb "${link##*/upper_}"
    done
}

# Over both protocols and all tables, several next hops included, which procfs would not show.
interfaces_with_default_route() {
    local family
    type ip >/dev/null 2>&1 || fail 'the program ip is needed, to see where the default route leads: install iproute2'
    for family in -4 -6; do
        [ "$family" = -4 ] || [ -e "$proc/net/if_inet6" ] || continue
        ip -o "$family" route show table all default || fail "the default route is unknown, as ip failed"
    done | awk '{ for (i = 1; i < NF; i++) if ($i == "dev" && $(i + 1) != "lo") print $(i + 1) }' | sort -u
}

# The interfaces of a card, or above it, that have a default route.
on_default_route() { # PCI INTERFACES
    interfaces_above "$1" | { grep -Fx "${2:-/}" || [ $? = 1 ]; } | paste -sd ' '
}

# Those of IPv6 that every interface gives itself are nobody's work and do not count.
addresses_of() { # INTERFACE
    ip -o addr show dev "$1" | awk '$3 ~ /^inet/ && $4 !~ /^fe80:/ { print $4 }' | paste -sd ' '
}

# Empty without a driver.
driver_of() { # PCI
    local link=$sysfs/bus/pci/devices/$1/driver
    [ ! -L "$link" ] || basename "$(readlink "$link")"
}

is_of_user_space() { # DRIVER
    [[ $1 =~ ^(vfio-pci|uio_pci_generic|igb_uio)$ ]]
}

has_vfio() { # PCI
    [ -e "$sysfs/bus/pci/devices/$1/iommu_group" ] ||
        grep -qsx '[Y1]' "$sysfs/module/vfio/parameters/enable_unsafe_noiommu_mode"
}

# ---- steps ----

# Writes to a file of the kernel; if it refuses, `reason` says why.
put() { # VALUE FILE
    if [ -n "$1" ]; then echo "+ echo $1 > $2"; else echo "+ echo '' > $2"; fi
    [ "$dry_run" = no ] || return 0
    reason=$("$writer" "$1" "$2" 2>&1) || { reason=${reason##*: } && return 1; }
}

write_line() { # VALUE FILE
    printf '%s\n' "$1" >"$2"
}

run() { # COMMAND...
    echo "+ $*"
    [ "$dry_run" = no ] || return 0
    reason=$("$@" 2>&1) || return 1
}

require_privilege() { # FILE
    [ "$dry_run" = yes ] || [ -w "$1" ] ||
        fail "$1 cannot be written: run this as root (sudo ./hugepages.sh ...), and not in a container that has /sys read-only"
}

fail() { # WHY
    echo "hugepages.sh: $1" >&2
    exit 1
}

misuse() { # WHY
    echo "hugepages.sh: $1; see hugepages.sh --help" >&2
    exit 2
}

PCI='[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]'
SHORT_PCI='[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]'
# The source of the mounts that `reserve` makes, by which `release` knows them.
OURS=hugepages.sh
reason=''

main "$@"
