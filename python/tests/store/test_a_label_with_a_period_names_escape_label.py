"""An e-mail address as a label is an error that says how to write it."""

import asyncio
from typing import Any

import pytest
from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp, SearchOp

from vecmem import Store, escape_label

NAMESPACE = ("users", "ada@example.com")
MESSAGE = r"Write vecmem.escape_label\('ada@example.com'\), which is 'ada@example~2Ecom'"


@pytest.mark.parametrize("op", [GetOp(NAMESPACE, "k"), PutOp(NAMESPACE, "k", {}), SearchOp(NAMESPACE)])
def test_in_a_batch(op: Any) -> None:
    with Store() as store, pytest.raises(InvalidNamespaceError, match=MESSAGE):
        store.batch([op])


def test_in_single_calls() -> None:
    with Store() as store:
        for call in (
            lambda: store.put(NAMESPACE, "k", {}),
            lambda: store.get(NAMESPACE, "k"),
            lambda: store.list_namespaces(prefix=NAMESPACE),
            lambda: asyncio.run(store.asearch(NAMESPACE)),
            lambda: store.search(NAMESPACE),
            lambda: store.count(NAMESPACE),
            lambda: store.delete_namespace(NAMESPACE),
            lambda: asyncio.run(store.aput(NAMESPACE, "k", {})),
        ):
            with pytest.raises(InvalidNamespaceError, match=MESSAGE):
                call()
        store.put(("users", escape_label("ada@example.com")), "k", {})
        with pytest.raises(InvalidNamespaceError, match=r"Write vecmem.escape_label\("):
            store.get(("a.\ud800",), "k")
