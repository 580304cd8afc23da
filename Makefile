# What people do with this tree; `make help` says it.

CARGO ?= cargo
# Kernel tests and protocol threads want a core each: see .config/nextest.toml.
NEXTEST = $(CARGO) nextest run --no-tests fail
# Where libdpdk cannot be found, however it is installed.
HIDDEN = PKG_CONFIG=false
LOOM = RUSTFLAGS='--cfg loom' $(CARGO) test --release --target-dir target/loom -p darner-ring --lib loom
# How many schedules `make miri` tries.
SEEDS = 1
# How long each test of `make stress` and `make tsan` goes on.
SECONDS = 60
# How long `make fuzz` goes on, all targets together, and which: all by default.
MINUTES = 1
TARGETS =
# Words that the names of the cells have in which `make grid` and `make yardstick` are interested; all by default.
CELLS =
# How often `make yardstick` measures a cell.
PAIRS = 5
# How many steps `make schedules` goes.
LENGTH = 7

# Words that the names of the rows have in which `make bench` is interested; all by default.
ROWS =
# The commit that `make bench-compare` measures this tree against.
BASE =

.PHONY: help demo test lint loom loom-long schedules miri stress tsan fuzz grid yardstick nic bench bench-full bench-compare bench-cycles bench-instructions bench-rings test-hidden test-doc test-dpdk deps clean

help:
	@echo 'make demo    serve a web page over net_tap, and show it (DEMO_SECONDS=5 ends by itself)'
	@echo 'make test    everything that can be proved on this machine'
	@echo 'make lint    formatting, clippy with and without DPDK, documentation'
	@echo 'make loom    the models of shared memory'
	@echo 'make loom-long    the same with more preemptions: a quarter of an hour'
	@echo 'make miri    the tests of shared memory, each access checked (SEEDS=1 schedules)'
	@echo 'make schedules    all orders of up to LENGTH=7 steps of two sockets, against a plain model (minutes)'
	@echo 'make stress    many threads on one stack, longer than the tests have time for (SECONDS=60 each, a quarter of an hour)'
	@echo 'make tsan    the same under ThreadSanitizer, which reports data races'
	@echo 'make fuzz    hostile input: what was found before, and MINUTES=1 of new (TARGETS="states icmp": only those)'
	@echo 'make grid    TCP over thousands of paths in virtual time, and a page that shows how it fares (minutes; CELLS="10G bbr": only those)'
	@echo 'make yardstick    darner and the kernel as senders through darner wire (ten minutes; PAIRS=5, CELLS="100 bursts": only those)'
	@echo 'make nic     darner on NICs that QEMU emulates (NIC=virtio, e1000 or vmxnet3: only that one)'
	@echo 'make bench   how fast the stack is, beside testpmd, and a page that shows it (minutes; ROWS="rr-64 churn": only those)'
	@echo 'make bench-full    the same with more and longer windows, and rows that take longer'
	@echo 'make bench-compare BASE=REV    this tree beside another commit, with the same client (PAIRS=5, ROWS="rr-64 churn": only those)'
	@echo 'make bench-cycles    where the server's time goes, stage by stage (ROWS="rr-64 churn": those rows)'
	@echo 'make bench-instructions    what a segment, an ACK, a turn and a connection cost'
	@echo 'make bench-rings    what a value from one thread to another costs'

demo:
	@scripts/deps demo
	@scripts/demo

test: deps lint test-hidden test-doc loom fuzz bench-instructions test-dpdk

deps:
	@scripts/deps test

lint: deps
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) fmt --manifest-path bench/peers/smoltcp/Cargo.toml --check
	$(CARGO) clippy --manifest-path bench/peers/smoltcp/Cargo.toml --target-dir target/peers/smoltcp -- -D warnings
	$(HIDDEN) $(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy --workspace --all-targets --features darner-bench/cycles -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --document-private-items
	shellcheck hugepages.sh scripts/* .ci/run app/tests/hugepages/fake/*

# The protocol without DPDK: it must build and pass where libdpdk was never heard of.
test-hidden: deps
	$(HIDDEN) $(NEXTEST)

test-doc: deps
	$(HIDDEN) $(CARGO) test --doc

loom: deps
	$(LOOM)

loom-long: deps
	DARNER_RING_MORE_PREEMPTIONS=2 $(LOOM)

# The first run may have to fetch what Miri is made of.
miri:
	rustup component add --toolchain nightly miri rust-src
	RUST_BACKTRACE=0 MIRIFLAGS='-Zmiri-backtrace=0 -Zmiri-many-seeds=0..$(SEEDS)' \
	    $(CARGO) +nightly miri test --target-dir target/miri -p darner-ring --lib

# The first run may have to fetch what the standard library is made of. A thread that may make no system call cannot be watched.
tsan: deps
	rustup component add --toolchain nightly rust-src
	DARNER_STRESS_SECONDS=$(SECONDS) RUSTFLAGS=-Zsanitizer=thread $(HIDDEN) \
	    $(CARGO) +nightly nextest run --profile stress --target-dir target/tsan -Zbuild-std \
	    --target "$$(rustc -vV | sed -n 's/^host: //p')" -p darner \
	    -E '(binary(stress) or test(/::stress::/)) and not test(turns_make_no_system_calls)'

# On a machine with two CPUs that has nothing else to do.
bench:
	@scripts/deps bench
	$(CARGO) run --release -p darner-bench -- suite $(ROWS)

bench-full:
	@scripts/deps bench
	@scripts/peers
	$(CARGO) run --release -p darner-bench -- suite --full --pairs 9 --seconds 2 --retries 9 $(ROWS)

bench-compare:
	@scripts/deps bench
	@scripts/bench-compare '$(BASE)' '$(PAIRS)' $(ROWS)

# On a machine with two CPUs that has nothing else to do. A folder of its own: what is built so is slower.
bench-cycles:
	@scripts/deps bench
	$(CARGO) run --release -p darner-bench --features cycles --target-dir target/cycles -- cycles $(ROWS)

# On a machine with two CPUs that has nothing else to do.
bench-rings:
	$(CARGO) run --release -p darner-bench --no-default-features --bin rings

schedules: deps
	DARNER_SCHEDULE_LENGTH=$(LENGTH) $(HIDDEN) $(CARGO) test --release -p darner --lib schedules -- --nocapture

# A profile of its own: a test that takes minutes is not stuck.
stress: deps
	DARNER_STRESS_SECONDS=$(SECONDS) $(HIDDEN) $(NEXTEST) --profile stress -p darner \
		-E 'binary(stress) or test(/::stress::/)'

fuzz: deps
	@scripts/fuzz $(MINUTES) $(TARGETS)

# `make test` runs a sample of it.
grid: deps
	DARNER_GRID_CELLS='$(CELLS)' DARNER_GRID_PAGE=$(CURDIR)/target/grid.html $(HIDDEN) $(CARGO) test --release -p darner --test netsim -- \
		--ignored --nocapture every_cell

# On a machine that has nothing else to do.
yardstick: deps
	DARNER_YARDSTICK_CELLS='$(CELLS)' DARNER_YARDSTICK_PAIRS=$(PAIRS) $(NEXTEST) --release --profile stress -p darner-app \
		--run-ignored only --no-capture -E 'test(yardstick)'

# Not part of `test`: it installs QEMU, and takes a minute.
nic:
	@scripts/nic $(NIC)

bench-instructions: deps
	@scripts/bench-instructions

# Devices, programs and the kernel as a peer; then the account of a thread's time, which is a build of its own.
test-dpdk: deps
	$(NEXTEST) -p pmd --features pmd/dpdk -p dpdk-sys -p darner-app -p darner-bench
	$(NEXTEST) -p darner-bench --features cycles --test cycles --test memif -E 'test(account)'

clean:
	$(CARGO) clean
