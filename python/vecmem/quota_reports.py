"""Quotas, and what counts for them, as types of dicts; ``vecmem.reports`` has them too."""

from __future__ import annotations

from typing import TypedDict


class Quota(TypedDict):
    """A quota: its scope as text (a/b for a namespace, a/b/ for a prefix, * for the store, a/*/ for each scope directly
    below a), and the most items and bytes; ``None`` for any number."""

    scope: str
    items: int | None
    bytes: int | None


class QuotaUse(TypedDict):
    """What a scope with a quota holds: items, with those that have expired and were not swept, and, where they are
    limited, bytes of keys, values and vectors."""

    scope: str
    items: int
    items_limit: int | None
    bytes: int | None
    bytes_limit: int | None
