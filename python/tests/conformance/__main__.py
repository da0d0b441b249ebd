"""Runs the published suites against any store class and prints what passed.

python python/tests/conformance vecmem:Store
python python/tests/conformance langgraph.store.memory:InMemoryStore --suite checkpoint --suite sqlite
python python/tests/conformance candidates:Sqlite
"""

from __future__ import annotations

import argparse

import suites


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", help="the class, as module:Class, or native for the store each suite was written for")
    parser.add_argument("--suite", action="append", choices=suites.SUITES, help="only these; all by default")
    parser.add_argument("--adapter", help="a module with the hooks that plugin.py names; for vecmem.Store its own")
    parser.add_argument(
        "--sqlite-ttl-default", action="store_true", help="see CONFORMANCE_SQLITE_TTL_DEFAULT in plugin.py"
    )
    parser.add_argument("--verbose", action="store_true", help="print the output of pytest")
    arguments = parser.parse_args()
    adapter = arguments.adapter or ("vecmem_rows" if arguments.store == "vecmem:Store" else None)
    options = {"CONFORMANCE_SQLITE_TTL_DEFAULT": "1"} if arguments.sqlite_ttl_default else {}
    failed = 0
    print(f"| {arguments.store} | passed | failed | skipped |\n|---|---|---|---|", flush=True)
    for name in arguments.suite or suites.SUITES:
        outcome = suites.run(name, arguments.store, adapter=adapter, options=options, verbose=arguments.verbose)
        print(f"| {name} | {outcome.passed} | {outcome.failed} | {outcome.skipped} |", flush=True)
        if arguments.verbose:
            print(outcome.output)
        failed += outcome.failed
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
