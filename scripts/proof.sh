#!/usr/bin/env bash
# `make proof`: opens crash states of all workloads from seed FROM on, until it has seen STATES distinct ones, and prints
# them as a table (workload by class). Finished runs are kept in target/proof: the same command goes on after an
# interruption, and a larger number adds to what was seen. Another build begins anew.
#
#   make proof FROM=0 STATES=1000000
#   scripts/proof.sh [FROM] [STATES]
#
# A violation prints VECMEM_STATE='...': with it in the environment, the same test opens that one state again.
set -euo pipefail
cd "$(dirname "$0")/.."
VECMEM_FROM=${1:-0} VECMEM_STATES=${2:-100000} \
    cargo test --quiet --test crash_states -- --nocapture --exact \
    no_crash_state_breaks_a_promise::no_crash_state_breaks_a_promise
