"""Write, read, edit, ls, grep, glob and delete of a Deep Agents backend over a store on disk, sync and async.

The oracle of the long run is the same backend over a dictionary: what differs between the two is the store.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from files import AsyncFileSystem, file_system, paths, without_times
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

SEED = 20_261_121
FLAVOURS = pytest.mark.parametrize(
    "flavour", [file_system, lambda store: AsyncFileSystem(file_system(store))], ids=["sync", "async"]
)


@FLAVOURS
def test_a_file_is_written_read_edited_found_and_deleted(plain_store: BaseStore, flavour: Callable) -> None:
    fs = flavour(plain_store)
    assert fs.write("/memories/people/ada.md", "Ada drinks tea.\nAda plays chess.").error is None
    assert fs.write("/memories/todo.md", "call Ada").error is None
    assert fs.write("/draft.md", "Ada").error is None

    assert fs.read("/memories/people/ada.md").file_data["content"] == "Ada drinks tea.\nAda plays chess."
    assert fs.edit("/memories/people/ada.md", "tea", "coffee").occurrences == 1
    assert fs.edit("/memories/people/ada.md", "Ada", "She").error is not None, "two places, and not all were asked for"
    assert fs.edit("/memories/people/ada.md", "Ada", "She", replace_all=True).occurrences == 2
    assert fs.read("/memories/people/ada.md").file_data["content"] == "She drinks coffee.\nShe plays chess."

    assert paths(fs.ls("/memories/")) == ["/memories/people/", "/memories/todo.md"]
    assert sorted(paths(fs.ls("/"))) == ["/draft.md", "/memories/"]
    assert paths(fs.glob("**/*.md", "/memories/")) == ["/memories/people/ada.md", "/memories/todo.md"]
    assert [(m["path"], m["line"]) for m in fs.grep("chess", "/memories/").matches] == [("/memories/people/ada.md", 2)]

    assert fs.delete("/memories/people").error is None
    assert paths(fs.ls("/memories/")) == ["/memories/todo.md"]
    assert fs.read("/memories/people/ada.md").error is not None
    assert fs.delete("/memories/people").error is not None, "there is nothing left to delete"
    assert fs.read("/draft.md").file_data["content"] == "Ada"


@FLAVOURS
@pytest.mark.parametrize(
    "name", ["a*b.md", "[x].md", "two words.md", "späße ☕.md", "%_?.md", "a\nb.md", "quote'\".md"]
)
def test_every_character_of_a_path_is_literal(plain_store: BaseStore, flavour: Callable, name: str) -> None:
    fs = flavour(plain_store)
    fs.write(f"/memories/{name}", "this one")
    fs.write("/memories/aXb.md", "another")
    assert fs.read(f"/memories/{name}").file_data["content"] == "this one"
    assert fs.delete(f"/memories/{name}").error is None
    assert paths(fs.ls("/memories/")) == ["/memories/aXb.md"]


@FLAVOURS
def test_binary_and_large_files_come_back_byte_for_byte(plain_store: BaseStore, flavour: Callable) -> None:
    fs = flavour(plain_store)
    generator = random.Random(SEED)
    files = [("/memories/photo.png", generator.randbytes(1_000_000)), ("/memories/log.txt", b"a line\n" * 500_000)]
    assert [response.error for response in fs.upload_files(files)] == [None, None]
    back = fs.download_files([path for path, _ in files])
    assert [response.content for response in back] == [content for _, content in files]


def random_operation(generator: random.Random) -> tuple[str, tuple[Any, ...]]:
    """One call of a backend: a method's name and its arguments, over few names, so that they meet."""
    folder = generator.choice(["/", "/a/", "/a/b/", "/memories/", "/memories/a/", "/memories/a/b/"])
    path = folder + generator.choice(["x.md", "y.md", "z.txt", "x"])
    words = ["tea", "rain", "sea", "chess"]
    return generator.choice(
        [
            ("write", (path, "\n".join(generator.choices(words, k=generator.randrange(1, 5))))),
            ("edit", (path, generator.choice(words), generator.choice(words), generator.random() < 0.5)),
            ("read", (path, generator.randrange(3), generator.randrange(1, 4))),
            ("delete", (generator.choice([path, folder.rstrip("/") or "/x"]),)),
            ("ls", (folder,)),
            ("grep", (generator.choice(words), generator.choice([None, folder]))),
            ("glob", (generator.choice(["*.md", "**/*", "a/*"]), folder)),
        ]
    )


@FLAVOURS
def test_a_thousand_random_calls_answer_as_over_a_dictionary(plain_store: BaseStore, flavour: Callable) -> None:
    print("seed", SEED)
    generator = random.Random(SEED)
    fs, oracle = flavour(plain_store), file_system(InMemoryStore())
    for step in range(1000):
        method, arguments = random_operation(generator)
        answer, expected = (without_times(getattr(files, method)(*arguments)) for files in (fs, oracle))
        if method == "grep":  # the order of the files is the store's own
            for one in (answer, expected):
                one["matches"] = sorted(one["matches"] or [], key=lambda match: (match["path"], match["line"]))
        assert answer == expected, f"step {step}: {method}{arguments}"
