"""What an index configuration can be wrong in that would otherwise show at the first put, or never.

Invariant: a field path is refused only if no value could have anything at it, by LangGraph's own reading of paths.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from langgraph.store.base import tokenize_path

from .contract import shown
from .errors import InvalidInputError, InvalidValueError

KEYS = ("dims", "embed", "fields", "distance_type", "model", "index_rules")

_OF_OTHERS = ("ann_index_config", "text_fields")
"""Keys of PostgresStore and SqliteStore, so that a configuration can move in as it is."""


def check_keys(index: Mapping[str, Any]) -> None:
    """Refuses a key that is none, such as a misspelled one."""
    for key in index:
        if key in KEYS or key in _OF_OTHERS or (isinstance(key, str) and key.startswith("__")):
            continue
        near = difflib.get_close_matches(str(key), KEYS, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KEYS)}"
        raise InvalidInputError(f"index has an unknown key {shown(key)}; {meant}")
    if index.get("text_fields") is not None and "fields" not in index:
        raise InvalidInputError("index['text_fields'] is SqliteStore's name; write index['fields']")


def check_embed(embed: Any) -> None:
    """Refuses what can embed nothing."""
    if embed is None:
        raise InvalidInputError("index has no 'embed': give a function, an Embeddings object, or 'provider:model'")
    if not (callable(embed) or isinstance(embed, str) or hasattr(embed, "embed_documents")):
        raise InvalidValueError(
            f"index['embed'] must be a function from texts to vectors, an Embeddings object, or a name such as "
            f"'openai:text-embedding-3-small', but got {shown(embed)}"
        )


def check_path(place: str, path: str) -> None:
    """Refuses a field path that no value can have anything at."""
    if path == "$":
        return
    tokens = tokenize_path(path)
    why = None
    if tokens and tokens[0] == "$":
        why = f"paths begin at the value itself, so write {shown(path.lstrip('$').lstrip('.'))}"
    elif tokens and tokens[0].startswith("["):
        why = "a value is a dict, so its path begins with the name of a field"
    for token in tokens:
        if token.startswith("[") and not (token.endswith("]") and _is_position(token[1:-1])):
            why = why or f"{shown(token)} is no position: write [0], [-1] or [*]"
        if token.startswith("{") and not (token.endswith("}") and token[1:-1].strip(" ,")):
            why = why or f"{shown(token)} names no fields: write {{title,text}}"
    if why:
        raise InvalidInputError(f"{place} has a path that can never match, {shown(path)}: {why}")


def _is_position(text: str) -> bool:
    try:
        return text == "*" or int(text) is not None
    except ValueError:
        return False
