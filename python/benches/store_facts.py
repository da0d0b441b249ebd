"""What a LangGraph store gets right, asked of the store itself. Prints a Markdown table, one column a store.

    python store_facts.py                                        # vecmem, InMemoryStore and SqliteStore where installed
    python store_facts.py vecmem:Store langgraph.store.postgres:PostgresStore=postgresql://localhost/test

Each row is a probe of `facts`: it puts a few items into a store of its own namespace and looks at what comes back.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from pathlib import Path

import facts_of_items
import facts_of_search
from facts import Place, Probe, Wrong, sentence
from opening import StoreClass, classes

FACTS = [*facts_of_items.FACTS, *facts_of_search.FACTS]


def ask(store_class: StoreClass, probe: Probe, folder: Path) -> str:
    """The cell of the table: yes, or what is wrong, or the error that came."""
    place = Place(store_class, folder / uuid.uuid4().hex, f"root-{uuid.uuid4().hex}")
    try:
        probe(place)
    except Wrong as wrong:
        return f"no: {wrong}"
    except NotImplementedError:
        return "no: not supported"
    except Exception as error:
        return f"no: {type(error).__name__}"
    return "yes"


def table(store_classes: list[StoreClass]) -> list[list[str]]:
    """The rows of the table, the heading first."""
    rows = [["", *(store_class.name for store_class in store_classes)]]
    with tempfile.TemporaryDirectory() as folder:
        for probe in FACTS:
            rows.append([sentence(probe), *(ask(store_class, probe, Path(folder)) for store_class in store_classes)])
    rights = [sum(row[column] == "yes" for row in rows[1:]) for column in range(1, len(rows[0]))]
    return [*rows, ["**right**", *(f"**{count} of {len(FACTS)}**" for count in rights)]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", metavar="module:Class[=CONNECTION]")
    heading, *rows = table(classes(parser.parse_args().stores))
    for row in [heading, ["---"] * len(heading), *rows]:
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")


if __name__ == "__main__":
    main()
