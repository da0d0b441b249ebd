#!/usr/bin/env bash
# `make test`: runs every check in turn, stops at the first that fails with its output last on the screen, and ends with
# the tests' result lines, each step's share of the time, and what was skipped and why. A group of steps has a budget, in
# minutes of two busy cores: time of processors, since other load makes everything last longer. Where CI is set, more is a
# failure.
set -uo pipefail
cd "$(dirname "$0")/.."

names=() times=() busy=() groups=() skipped=()
# Of everything, of what has to do with Rust, and, as a part of that, of the proofs beside the tests.
declare -A budgets=([all]=60 [core]=35 [proof]=12)
results=$(mktemp) python_results=$(mktemp) miri_results=$(mktemp) processors=$(mktemp)
trap 'rm -f "$results" "$python_results" "$miri_results" "$processors"' EXIT

# The seconds of processor time so far, in `used`. Not in a subshell, which has no children to tell of.
count_used() {
    times >"$processors"
    used=$(tail -n 1 "$processors" | awk -F '[ms ]+' '{ printf "%d", 60 * $1 + $2 + 60 * $3 + $4 }')
}

# step GROUP NAME COMMAND...: runs it with its output visible.
step() {
    local group=$1 name=$2 started=$SECONDS used before
    shift 2
    count_used
    before=$used
    printf '\n== %s: %s\n' "$name" "$*"
    if ! "$@"; then
        printf '\n== FAILED: %s (output above)\n' "$name" >&2
        exit 1
    fi
    names+=("$name")
    groups+=("$group")
    times+=($((SECONDS - started)))
    count_used
    busy+=($((used - before)))
}

skip() {
    skipped+=("$1: $2")
}

# The result lines are kept for the end; the status is cargo's.
all_tests() {
    cargo test --workspace --no-fail-fast 2>&1 | tee "$results"
}

# The second pass follows the links in the documentation of private modules, where the file formats are described.
all_docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc -p vecmem --lib --no-deps &&
        RUSTDOCFLAGS="-D warnings" cargo doc -p vecmem --lib --no-deps --document-private-items
}

summary() {
    printf '\n== results of the tests\n'
    # Colour codes can stand before "Running"; names are cut to the binary.
    grep -E '^ *(Running|Doc-tests) |^test result:' "$results" | sed -E 's/ \(target.*\)$//'
    # pytest's last line, such as "280 passed in 20.1s".
    grep -E '^[0-9]+ (passed|failed).* in ' "$python_results" | tail -n 1
    local at group total=0
    local -A spent=([all]=0 [core]=0 [proof]=0 [other]=0)
    for at in "${!times[@]}"; do
        group=${groups[at]}
        ((total += times[at], spent[all] += busy[at], spent[$group] += busy[at]))
        if [ "$group" = proof ]; then ((spent[core] += busy[at])); fi
    done
    printf '\n== time: %d s, of processors %d s\n' "$total" "${spent[all]}"
    for at in "${!names[@]}"; do
        printf '%4d %%  %5d s  %5d s  %-5s  %s\n' \
            $((total ? 100 * times[at] / total : 0)) "${times[at]}" "${busy[at]}" "${groups[at]}" "${names[at]}"
    done
    for at in "${!skipped[@]}"; do printf 'skipped  %s\n' "${skipped[at]}"; done
    local exceeded=()
    for group in all core proof; do
        printf 'budget   %-5s  %d of %d minutes of two cores\n' "$group" $((spent[$group] / 120)) "${budgets[$group]}"
        if ((spent[$group] > 120 * budgets[$group])); then exceeded+=("$group"); fi
    done
    if [ ${#exceeded[@]} -gt 0 ]; then
        printf '== budget exceeded: %s\n' "${exceeded[*]}" >&2
        if [ -n "${CI:-}" ]; then exit 1; fi
    fi
    printf 'all passed\n'
}

step core "format" cargo fmt --all --check
step core "lints" cargo clippy --workspace --all-targets -- -D warnings
# With --all-targets the library has the features of its tests; users have it without them.
step core "lints without features" cargo clippy -p vecmem --lib -- -D warnings
step core "docs" all_docs
step core "tests" all_tests
# A test that lacks what it needs says so on a line of its own.
while IFS= read -r line; do skip "${line%%: *}" "${line#*: }"; done < <(sed -n 's/^skipped: //p' "$results" | sort -u)
step proof "seeded faults" cargo test --test seeded_faults
step proof "crash states" scripts/proof.sh 0 100000
# They fill small disks, which only whoever may mount one has.
small_disk=$(mktemp -d)
if mount -t tmpfs -o size=1m tmpfs "$small_disk" 2>/dev/null; then
    umount "$small_disk"
else
    skip "tests on full disks, other than simulated ones" "no tmpfs can be mounted here"
fi
rmdir "$small_disk"

# A build of its own, in which every lock and atomic asks a scheduler.
step proof "models of threads" make models

# Without `--bench`, Criterion runs each bench once; the test profile spares a second build of everything.
if compgen -G 'benches/*.rs' >/dev/null || compgen -G 'cli/benches/*.rs' >/dev/null; then
    step core "benches, once" cargo test --workspace --bench '*'
else
    skip "benches, once" "there are none"
fi

# 77: what it needs is not there; it has said what, in the last line that begins with "skipped".
python_tests() {
    scripts/test_python.sh 2>&1 | tee "$python_results"
    local status=${PIPESTATUS[0]}
    if [ "$status" = 77 ]; then
        skip "Python package" "$(sed -n 's/^skipped: //p' "$python_results" | tail -n 1)"
        return 0
    fi
    return "$status"
}
step other "Python package" python_tests

# 77: nightly has no Miri, or a library that Miri needs cannot be built; the last line says which.
miri() {
    local status=0
    scripts/miri.sh 2>&1 | tee "$miri_results" || status=$?
    if [ "$status" = 77 ]; then
        skip "undefined behaviour" "$(sed -n 's/^skipped: //p' "$miri_results" | tail -n 1)"
        return 0
    fi
    return "$status"
}
step proof "undefined behaviour" miri

# A check with the stable compiler finds what breaks a target; nightly is needed only to run one.
if command -v c++ >/dev/null; then
    step other "fuzz targets" cargo check --manifest-path fuzz/Cargo.toml --bins
else
    skip "fuzz targets" "libFuzzer needs a C++ compiler"
fi

if cargo deny --version >/dev/null 2>&1; then
    step other "licences and sources" cargo deny --workspace check bans licenses sources
    if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
        step other "advisories" cargo deny --workspace check --disable-fetch advisories
    else
        skip "advisories" "the RustSec database cannot be reached"
    fi
else
    skip "licences and sources" "cargo-deny is missing (cargo install cargo-deny --locked)"
fi

summary
