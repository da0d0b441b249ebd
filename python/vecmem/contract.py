"""What may be in a batch: each operation is checked, and brought into one form, before anything of the batch runs.

``BaseStore`` checks arguments in ``get``, ``put`` and so on, but operations can reach ``batch`` without them, and older
versions check less. So the checks are here, with LangGraph's own messages.

Invariants of what ``checked`` returns:
* namespaces, prefixes and paths are tuples of labels that LangGraph accepts (the first may be ``langgraph``, as in
  ``batch`` of LangGraph's stores); that of a put is not empty; keys are ``str``;
* namespaces and keys are within the limits of the engine, and text that it can hold;
* limits and offsets are integers from 0 to ``COUNT_MAX``; a query is ``None`` or a text that is not empty; a filter is
  ``None`` or the engine's, which has parsed it; ``refresh_ttl`` is a bool;
* a value is ``None``, for a delete, or a mapping; a time to live is ``None`` or a positive number of minutes.
"""

from __future__ import annotations

import functools
import itertools
import operator
import reprlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
)

from ._vecmem import _BATCH_OPERATIONS, _KEY_BYTES, _LABEL_BYTES, _LABELS, Filter
from .errors import InvalidInputError, InvalidValueError, LimitError
from .labels import escape_label

COUNT_MAX = 2**62
"""Larger limits and offsets mean the same: more than any store holds."""

MESSAGE_MAX = 2_000
"""The most characters of a message, however long the argument is that it quotes."""

MINUTES_MAX = 1e9
"""The longest time to live, in minutes: some 1,900 years. ``None`` never expires."""


class Search(NamedTuple):
    """A ``SearchOp`` that was checked."""

    prefix: tuple[str, ...]
    filter: Filter | None
    limit: int
    offset: int
    query: str | None
    refresh_ttl: bool
    min_score: float | None = None
    shape: Mapping[str, Any] = MappingProxyType({})
    """Options of the engine's search: fields, groups and an order."""


def operations(ops: Iterable[Op]) -> list[Op]:
    """The operations of a batch; of an endless iterator, only so many are taken that they are too many."""
    if not isinstance(ops, Iterable):
        raise InvalidValueError(f"ops must be an iterable of operations, but got {type(ops).__name__}")
    found = list(itertools.islice(ops, _BATCH_OPERATIONS + 1))
    if len(found) > _BATCH_OPERATIONS:
        raise LimitError(f"a batch may have {_BATCH_OPERATIONS:,} operations, and this one has more; split it")
    return found


def checked(op: Op) -> GetOp | Search | PutOp | ListNamespacesOp:
    """``op`` in its one form, mostly as it is. Raises for anything that the contract or the engine refuses."""
    if isinstance(op, GetOp):
        return checked_get(op)
    if isinstance(op, SearchOp):
        return checked_search(op)
    if isinstance(op, Search):  # from a call that takes more than LangGraph's
        return op
    if isinstance(op, PutOp):
        namespace, key, ttl = labels(op.namespace), _key(op.key), minutes("ttl", op.ttl)
        _check_value(op.value)
        if not namespace and op.value is not None:
            raise InvalidNamespaceError("Namespace cannot be empty.")
        if namespace is op.namespace and key is op.key and ttl is op.ttl:
            return op
        return PutOp(namespace, key, op.value, op.index, ttl)
    if isinstance(op, ListNamespacesOp):
        return ListNamespacesOp(
            match_conditions=_conditions(op.match_conditions),
            max_depth=None if op.max_depth is None else count("max_depth", op.max_depth),
            limit=count("limit", op.limit),
            offset=count("offset", op.offset),
        )
    raise ValueError(f"Unknown operation type: {type(op)}")


def checked_get(op: GetOp) -> GetOp:
    """``checked`` of the most frequent operation."""
    namespace, key, refresh_ttl = labels(op.namespace), _key(op.key), truth("refresh_ttl", op.refresh_ttl)
    if namespace is op.namespace and key is op.key and refresh_ttl is op.refresh_ttl:
        return op
    return GetOp(namespace, key, refresh_ttl)


def checked_search(op: SearchOp) -> Search:
    """``checked`` of a search."""
    prefix, conditions, query = labels(op.namespace_prefix), _filter(op.filter), _query(op.query)
    limit, offset = count("limit", op.limit), count("offset", op.offset)
    return Search(prefix, conditions, limit, offset, query, truth("refresh_ttl", op.refresh_ttl))


def address(pair: Any) -> tuple[tuple[str, ...], str]:
    """A pair of a namespace and a key."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise InvalidValueError(f"an address is a pair (namespace, key), but got {shown(pair)}")
    op = checked_get(GetOp(pair[0], pair[1], False))
    return op.namespace, op.key


def writable(namespace: Iterable[str]) -> tuple[str, ...]:
    """The namespace of a single write, as ``BaseStore.put`` checks it."""
    found = labels(namespace)
    if not found:
        raise InvalidNamespaceError("Namespace cannot be empty.")
    if found[0] == "langgraph":
        raise InvalidNamespaceError(f'Root label for namespace cannot be "langgraph". Got: {shown(found)}')
    return found


def labels(namespace: Iterable[str]) -> tuple[str, ...]:
    """The namespace as a tuple, each label checked; it may be empty."""
    if type(namespace) is tuple:
        try:
            _check_known_labels(namespace)
        except TypeError:  # labels that cannot be hashed are none
            _check_labels(namespace)
        return namespace
    if isinstance(namespace, (str, bytes)) or not isinstance(namespace, Iterable):
        raise InvalidNamespaceError(
            f"Invalid namespace {shown(namespace)}. A namespace must be a tuple of labels, "
            f"but got {type(namespace).__name__}."
        )
    found = tuple(itertools.islice(namespace, _LABELS + 1))  # one more than allowed is refused; there may be no end
    _check_labels(found)
    return found


def _check_labels(found: tuple[Any, ...]) -> None:
    for label in found:
        if not isinstance(label, str):
            raise InvalidNamespaceError(shortened(_not_a_label(label, found)))
        if "." in label:
            said = f"Invalid namespace label '{label}' found in {found}. Namespace labels cannot contain periods ('.')."
            raise InvalidNamespaceError(shortened(f"{said} {period_hint(label)}"))
        if "\x00" in label:
            why = "Namespace labels cannot contain NUL bytes ('\\x00')."
            raise InvalidNamespaceError(shortened(f"Invalid namespace label '{label}' found in {found}. {why}"))
        if not label:
            raise InvalidNamespaceError(shortened(f"Namespace labels cannot be empty strings. Got {label} in {found}"))
        check_text("a label of a namespace", label, _LABEL_BYTES)
    if len(found) > _LABELS:
        raise LimitError(f"a namespace may have {_LABELS} labels, and this one has more")


def shortened(message: str) -> str:
    """The message, without its middle if it is long: the remedy stands at the end."""
    if len(message) <= MESSAGE_MAX:
        return message
    return f"{message[: MESSAGE_MAX // 2 - 3]} ... {message[-MESSAGE_MAX // 2 + 2 :]}"


def period_hint(label: str) -> str:
    """What to write instead of a label with a period."""
    try:
        return f"Write vecmem.escape_label({shown(label)}), which is {shown(escape_label(label))}."
    except InvalidInputError:  # half of a surrogate pair, too
        return f"Write vecmem.escape_label({shown(label)})."


# The same few namespaces come again and again; those that are refused are not remembered.
_check_known_labels = functools.lru_cache(maxsize=1024)(_check_labels)


def forget_labels() -> None:
    """Forgets the namespaces that were checked, of all stores."""
    _check_known_labels.cache_clear()


def _not_a_label(label: Any, found: tuple[Any, ...]) -> str:
    reason = f"Namespace labels must be strings, but got {type(label).__name__}."
    try:
        return f"Invalid namespace label '{label}' found in {found}. {reason}"
    except (RecursionError, ValueError):  # too deep, or an integer of too many digits
        return f"Invalid namespace label {shown(label)} found. {reason}"


def check_text(what: str, text: str, bytes_max: int) -> None:
    """Refuses text that has no UTF-8, or too much of it."""
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise InvalidValueError(
                f"{what} holds a lone surrogate, which no UTF-8 text can; encode it otherwise: {shown(text)}"
            ) from None
    if size > bytes_max:
        raise LimitError(f"{what} may have {bytes_max:,} bytes, and this one has {size:,}")


def count(name: str, number: Any) -> int:
    """A limit, an offset or a depth: at least 0."""
    if type(number) is int and 0 <= number <= COUNT_MAX:
        return number
    if isinstance(number, bool):
        raise InvalidValueError(f"{name} must be an integer, but got {number}")
    try:
        found = operator.index(number)
    except TypeError:
        raise InvalidValueError(f"{name} must be an integer, but got {shown(number)}") from None
    if found < 0:
        raise InvalidInputError(f"{name} must not be negative, but got {shown(found)}")
    return min(found, COUNT_MAX)


def minutes(name: str, time: Any) -> float | None:
    """A time to live or an interval, if there is one: above 0; a ``timedelta`` or a number of minutes."""
    if time is None:
        return None
    if isinstance(time, timedelta):
        time = time / timedelta(minutes=1)
    if isinstance(time, bool) or not isinstance(time, (int, float, numpy.integer, numpy.floating)):
        raise InvalidValueError(f"{name} must be a number of minutes, a timedelta or None, but got {shown(time)}")
    if not 0 < time <= MINUTES_MAX:  # nor is NaN
        raise InvalidInputError(f"{name} must be above 0 and at most {MINUTES_MAX:.0f} minutes, but got {shown(time)}")
    return float(time)


def score(name: str, number: Any) -> float:
    """A least score: a number, infinities included."""
    if isinstance(number, bool) or not isinstance(number, (int, float, numpy.integer, numpy.floating)):
        raise InvalidValueError(f"{name} must be a number or None, but got {shown(number)}")
    try:
        found = float(number)
    except OverflowError:  # of an integer
        raise InvalidInputError(f"{name} must be a number that a double holds, but got {shown(number)}") from None
    if found != found:
        raise InvalidInputError(f"{name} is NaN, which no score is compared with; give a number")
    return found


def shown(argument: Any) -> str:
    """``repr``, for messages: of bounded length and depth, whatever somebody passed."""
    try:
        return reprlib.repr(argument)
    except ValueError:  # an integer of more digits than Python writes
        return f"{type(argument).__name__} of too many digits"


def _key(key: Any) -> str:
    # As in `BaseStore.put`, which operations that reach `batch` without it have not passed.
    try:
        text = key if isinstance(key, str) else str(key)
    except (RecursionError, ValueError):
        raise InvalidValueError(f"a key must be a string, but got {shown(key)}") from None
    check_text("a key", text, _KEY_BYTES)
    return text


def truth(name: str, flag: Any) -> bool:
    """A flag."""
    if isinstance(flag, (bool, numpy.bool_)):
        return bool(flag)
    raise InvalidValueError(f"{name} must be True or False, but got {shown(flag)}")


def _query(query: Any) -> str | None:
    if query is None or isinstance(query, str):
        return query or None
    raise InvalidValueError(f"query must be a string or None, but got {type(query).__name__}")


def _filter(conditions: Any) -> Filter | None:
    if conditions is None or isinstance(conditions, Filter):
        return conditions
    if isinstance(conditions, Mapping):
        return Filter(conditions) if conditions else None
    raise InvalidValueError(f"filter must be a dict or None, but got {type(conditions).__name__}")


def _check_value(value: Any) -> None:
    if value is None or isinstance(value, (dict, Mapping)):
        return
    raise InvalidValueError(
        f"a value must be a mapping such as a dict, or None to delete, but got {type(value).__name__}"
    )


def _conditions(conditions: Any) -> tuple[MatchCondition, ...]:
    if conditions is None:
        return ()
    if isinstance(conditions, (list, tuple)) and all(isinstance(each, MatchCondition) for each in conditions):
        return tuple(map(_condition, conditions))
    raise InvalidValueError(f"match_conditions must be a tuple of MatchCondition or None, but got {shown(conditions)}")


def _condition(condition: MatchCondition) -> MatchCondition:
    if condition.match_type not in ("prefix", "suffix"):
        raise ValueError(shortened(f"Unsupported match type: {condition.match_type}"))
    # LangGraph's own suite of PostgresStore writes a path of one label without the tuple.
    path = (condition.path,) if isinstance(condition.path, str) else condition.path
    return MatchCondition(match_type=condition.match_type, path=labels(path))
