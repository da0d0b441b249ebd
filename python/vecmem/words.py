"""Words of messages for people: a count with its noun."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """``1 item``, ``1,234 items``, ``2 queries``: a count and its noun, which is given in the singular."""
    if count == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeou" else noun + "s"
    return f"{count:,} {plural}"
