"""`escape_label` makes a label of any user id that LangGraph, LangMem and Deep Agents all take; it can be undone."""

from __future__ import annotations

import pytest
from deepagents.backends import StoreBackend
from langgraph.store.base import BaseStore
from langmem import create_manage_memory_tool

import vecmem

IDS = ["ada", "ada@example.com", "ada.b.c", "~", "a b", "späße", "a/b", "*", "{x}", "100%", "x\0y", "", 42, -7]


@pytest.mark.parametrize("user_id", IDS, ids=repr)
def test_a_label_of_any_id_is_taken(plain_store: BaseStore, user_id: str | int) -> None:
    label = vecmem.escape_label(user_id)
    assert str(vecmem.unescape_label(label)) == str(user_id)

    plain_store.put(("users", label), "key", {"text": "plain"})
    backend = StoreBackend(store=plain_store, namespace=lambda _runtime: (label, "files"))
    assert backend.write("/notes.md", "in a file").error is None
    assert backend.read("/notes.md").file_data["content"] == "in a file"
    manage = create_manage_memory_tool(("memories", "{user_id}"), store=plain_store)
    manage.invoke({"content": "by a tool"}, {"configurable": {"user_id": label}})
    assert plain_store.list_namespaces() == sorted([("users", label), (label, "files"), ("memories", label)])


def test_different_ids_have_different_labels() -> None:
    assert len({vecmem.escape_label(user_id) for user_id in IDS}) == len(IDS)
