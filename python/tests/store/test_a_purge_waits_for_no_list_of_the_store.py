"""A list that another thread would put back while a purge begins is not kept, so the purge waits for none."""

from typing import Any

import vecmem
from vecmem.paging import PagingMemory, current_owner


class Listing:
    """Stands for a listing, and can be told apart from others."""


class Meanwhile:
    """An engine during whose purge, before it does anything, something else happens."""

    def __init__(self, engine: Any, happens: Any) -> None:
        self._engine, self._happens = engine, happens

    def purge(self, *args: Any, **options: Any) -> Any:
        self._happens()
        return self._engine.purge(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def test_of_a_store(plain_store: vecmem.Store) -> None:
    for number in range(4):
        plain_store.put(("a",), f"{number}", {})
        plain_store.put(("b",), f"{number}", {})
    core = plain_store._core
    kept: list[int] = []

    def page() -> None:
        # The first page of a list that has more of them.
        assert len(plain_store.search(("b",), limit=2)) == 2
        kept.append(len(core.pages))

    page()
    assert kept == [1]
    engine = core.engine
    core.engine = Meanwhile(engine, page)  # type: ignore[assignment]
    receipt = plain_store.purge(("a",), grace=20)
    core.engine = engine
    assert kept == [1, 0]
    holders = receipt["holders"]
    assert (holders["left"], holders["ended"]) == (0, []) and holders["waited_seconds"] < 10
    page()
    assert kept == [1, 0, 1], "behind the purge lists are kept again"
    assert len(plain_store.search(("b",), limit=2, offset=2)) == 2


def test_of_a_memory() -> None:
    epoch = 5
    memory, me = PagingMemory(purge_epoch=lambda: epoch), current_owner()

    def is_kept() -> bool:
        memory.keep(me, "question", Listing(), 100)
        return memory.take(me, "question", 100) is not None

    memory.keep(me, "before", Listing(), 100)
    with memory.purging():
        assert len(memory) == 0 and not is_kept()
        with memory.purging():
            epoch = 6
            assert not is_kept(), "the other one is still to be counted"
            epoch = 7
            assert is_kept(), "the engine has counted both"
        assert is_kept()
    assert is_kept()
    try:
        with memory.purging():
            raise ValueError("refused before it was counted")
    except ValueError:
        pass
    assert is_kept(), "a purge that failed holds up nothing"
