#!/usr/bin/env bash
# Undefined behaviour: unit tests of pure modules under Miri, which interprets them on one thread. The list has every module
# with unsafe code that needs no file, and the readers of bytes; a test that takes minutes there is left out by its name.
# The kernels of aarch64 are interpreted too, but for `SDOT`, which Miri does not know.
# Ends with 77, and a last line that begins with "skipped: ", where nightly has no Miri, or no library for aarch64. The tests take about two minutes.
set -uo pipefail
cd "$(dirname "$0")/.."

# Five times as much, for a machine that has other work.
seconds_max=${MIRI_SECONDS:-600}

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "skipped: nightly has no Miri (rustup component add miri rust-src --toolchain nightly)"
    exit 77
fi

if ! cargo +nightly miri setup; then
    echo "skipped: Miri's own build of the standard library failed"
    exit 77
fi

# Parts of the paths of tests. `testing::fuzz` gives small inputs to the readers of most formats, to the search of a graph
# and to the kernels.
modules=(
    testing::fuzz::tests
    codec::tests ids::tests extensions::tests record::lsn random::tests words::tests topk::tests
    memtable::append_only shard::missed
    manifest::tests manifest::settings filter::tests::errors_name_the_place
    segment::key_table segment::side_file segment::tombstones::tests
)
# Each of these takes more than half a minute there.
left_out=(
    keeps_what_a_sort_would_whatever_the_order_and_the_split
    readers_see_only_whole_rows_while_writers_append
    rows_stay_where_they_are_and_keep_their_values
    every_changed_byte_and_every_length_is_refused
    every_name_is_found_and_no_other
    tombstones_agree_with_a_map
    operation_ids
)

# Built first, so that the limit is for the tests alone. The clock and the environment are read; nothing is written.
export MIRIFLAGS="${MIRIFLAGS:--Zmiri-disable-isolation}"
cargo +nightly miri test --lib --features testing --no-run || exit 1
arguments=()
for path in "${left_out[@]}"; do arguments+=(--skip "$path"); done
ended() {
    if [ "$1" = 124 ]; then echo "the tests under Miri took more than $seconds_max seconds" >&2; fi
    if [ "$1" != 0 ]; then exit "$1"; fi
}
timeout "$seconds_max" cargo +nightly miri test --lib --features testing -- "${modules[@]}" "${arguments[@]}" --test-threads 1
ended $?

other=aarch64-unknown-linux-gnu
if ! cargo +nightly miri setup --target "$other"; then
    echo "skipped: Miri's standard library for $other cannot be built, so its kernels are not tested"
    exit 77
fi
# Nothing is linked, so what a dependency of the benches compiles with the compiler of this machine is never used.
export CC_aarch64_unknown_linux_gnu="${CC:-cc}"
timeout "$seconds_max" cargo +nightly miri test --target "$other" --lib --features testing -- distance::tests --test-threads 1
ended $?
