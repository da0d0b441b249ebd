# The commands of the project. `make test` is the one that must pass.

.PHONY: test demo bench models proof fuzz

# Everything that can say no: format, lints, docs, tests, benches run once, fuzz targets checked, licences.
test:
	@bash scripts/test.sh

# The tour of the README.
demo:
	cargo run --release -- demo

# All benches, or those whose names contain FILTER.
bench:
	cargo bench --workspace --bench '*' -- $(FILTER)

# The engine under a scheduler that chooses the order of its threads: tests/models. SCHEDULES of each model.
SCHEDULES ?= 4000
models:
	VECMEM_SCHEDULES=$(SCHEDULES) RUSTFLAGS="$(RUSTFLAGS) --cfg shuttle" CARGO_TARGET_DIR=target/models cargo test --test models -- --nocapture

# A table of distinct crash states, from seed FROM on until there are STATES: make proof FROM=0 STATES=1000000
FROM ?= 0
STATES ?= 100000
proof:
	@scripts/proof.sh $(FROM) $(STATES)

# One fuzz target under libFuzzer, which adds the inputs it finds to fuzz/target/corpus: make fuzz TARGET=wal_replay SECONDS=60
TARGET ?= store_ops
SECONDS ?= 60
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }
	mkdir -p fuzz/target/corpus/$(TARGET)
	cargo +nightly fuzz run $(TARGET) fuzz/target/corpus/$(TARGET) $(wildcard fuzz/seeds/$(TARGET)) -- -max_total_time=$(SECONDS)
