"""Index rules: which values are embedded, and how, when a put does not say (``index=None``).

Deep Agents, for one, writes every file without ``index=``, so a store that embeds whole documents would embed images. A
rule names conditions and what happens where all of them hold; the first rule that fits decides, and where none fits the
configured fields do. Form of a rule, as given by callers and kept, as a JSON list, in the store's setting
``index_rules``::

    {"prefix": ["files"],        # labels that the namespace begins with; default: any namespace
     "larger_than": 65536,       # bytes that the value's JSON must exceed; default: any size
     "encoding": ["base64"],     # values of the field "encoding", one of which it must have; default: any value
     "index": False}             # False: embed nothing; a list of field paths: embed these
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .contract import shown
from .errors import InvalidInputError, InvalidValueError
from .index_checks import check_path

DEFAULT_RULES: list[dict[str, Any]] = [{"encoding": ["base64"], "index": False}]
"""The rules of a store that was told none: files that Deep Agents marks as binary are not embedded."""

_KEYS = ("prefix", "larger_than", "encoding", "index")


@dataclass(frozen=True, slots=True)
class IndexRule:
    """One rule; ``None`` is a condition that always holds. ``paths`` is empty where nothing is embedded."""

    prefix: tuple[str, ...]
    larger_than: int | None
    encoding: tuple[str, ...] | None
    paths: tuple[str, ...]

    def fits(self, namespace: tuple[str, ...], value: Mapping[str, Any], size: int) -> bool:
        """Whether all conditions hold for a value whose JSON has ``size`` bytes."""
        return (
            namespace[: len(self.prefix)] == self.prefix
            and (self.larger_than is None or size > self.larger_than)
            and (self.encoding is None or value.get("encoding") in self.encoding)
        )

    def as_dict(self) -> dict[str, Any]:
        """The form that callers write and read."""
        rule: dict[str, Any] = {"index": list(self.paths) if self.paths else False}
        if self.prefix:
            rule["prefix"] = list(self.prefix)
        if self.larger_than is not None:
            rule["larger_than"] = self.larger_than
        if self.encoding is not None:
            rule["encoding"] = list(self.encoding)
        return rule


def parse_rules(rules: Sequence[Mapping[str, Any]], *, kept: bool = False) -> tuple[IndexRule, ...]:
    """Checks ``rules``; errors name the rule and the key. Rules that a store has ``kept`` may have paths that match
    nothing."""
    if isinstance(rules, (str, bytes, Mapping)) or not isinstance(rules, Sequence):
        raise InvalidValueError(f"index_rules must be a list of rules, but got {type(rules).__name__}")
    return tuple(_parse(f"index_rules[{place}]", rule, kept) for place, rule in enumerate(rules))


def dump_rules(rules: Sequence[IndexRule]) -> str:
    """The JSON of the setting."""
    return json.dumps([rule.as_dict() for rule in rules])


def _parse(place: str, rule: Any, kept: bool) -> IndexRule:
    if not isinstance(rule, Mapping):
        raise InvalidValueError(f"{place} must be a dict, but got {type(rule).__name__}")
    if unknown := [key for key in rule if key not in _KEYS]:
        raise InvalidInputError(f"{place} has an unknown key {unknown[0]!r}; there are {', '.join(_KEYS)}")
    if "index" not in rule:
        raise InvalidInputError(f'{place} does not say what to do: add "index": False, or a list of field paths')
    larger_than = rule.get("larger_than")
    if larger_than is not None and (type(larger_than) is not int or larger_than < 0):
        raise InvalidValueError(f"{place}['larger_than'] must be a number of bytes, but got {shown(larger_than)}")
    encoding = rule.get("encoding")
    index = rule["index"]
    if index is not False and not index:
        raise InvalidInputError(
            f"{place}['index'] must be False or name at least one field path, but got {shown(index)}"
        )
    paths = () if index is False else _texts(f"{place}['index']", index)
    for path in () if kept else paths:
        check_path(f"{place}['index']", path)
    return IndexRule(
        prefix=_texts(f"{place}['prefix']", rule.get("prefix") or ()),
        larger_than=larger_than,
        encoding=None if encoding is None else _texts(f"{place}['encoding']", encoding),
        paths=paths,
    )


def _texts(place: str, texts: Any) -> tuple[str, ...]:
    if isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts):
        return tuple(texts)
    raise InvalidValueError(f"{place} must be a list of strings, but got {shown(texts)}")
