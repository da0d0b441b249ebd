"""Deep Agents lists a namespace in pages of 100: every file comes exactly once, also while others write."""

from __future__ import annotations

import asyncio
import threading

import pytest
from files import MEMORIES, file_system, paths, put_files
from langgraph.store.base import BaseStore


def names(count: int) -> list[str]:
    return [f"/{number:05}.md" for number in range(count)]


def listed(store: BaseStore) -> list[str]:
    return [path.removeprefix("/memories") for path in paths(file_system(store).ls("/memories/"))]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 1001])
def test_pages_end_where_the_files_end(plain_store: BaseStore, count: int) -> None:
    put_files(plain_store, dict.fromkeys(names(count), "tea"))
    assert listed(plain_store) == names(count)


def test_ten_thousand_files_of_one_batch(plain_store: BaseStore) -> None:
    files = {name: f"number {name}" for name in names(10_000)}
    put_files(plain_store, files)
    assert listed(plain_store) == list(files)
    fs = file_system(plain_store)
    assert [m["path"] for m in fs.grep("number /07777.md", "/memories/").matches] == ["/memories/07777.md"]
    assert len(paths(fs.glob("0?500.md", "/memories/"))) == 10
    assert paths(asyncio.run(fs.als("/memories/"))) == paths(fs.ls("/memories/"))
    assert fs.delete("/memories/00042.md").error is None
    assert listed(plain_store) == [name for name in files if name != "/00042.md"]


def test_a_folder_of_ten_thousand_files_is_deleted_whole(plain_store: BaseStore) -> None:
    put_files(plain_store, {f"/old{name}": "tea" for name in names(10_000)} | {"/older.md": "stays"})
    fs = file_system(plain_store)
    assert fs.delete("/memories/old").error is None
    assert listed(plain_store) == ["/older.md"]


def test_files_that_nobody_touches_are_listed_once_while_others_change(plain_store: BaseStore) -> None:
    still = names(1_500)
    put_files(plain_store, dict.fromkeys(still, "tea"))
    stop, errors = threading.Event(), []

    def write(worker: int) -> None:
        """Creates, edits and deletes files of its own for as long as the listings last."""
        try:
            fs, number = file_system(plain_store), 0
            while not stop.is_set():
                path = f"/memories/moving/{worker}/{number % 50}.md"
                fs.write(path, f"tea {number}")
                fs.edit(path, "tea", "rain")
                if number % 3 == 0:
                    plain_store.delete(MEMORIES, path.removeprefix("/memories"))
                number += 1
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(10):
            seen = [path for path in listed(plain_store) if path != "/moving/"]
            assert seen == still
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert errors == []
