"""Any text or integer as a namespace label that LangGraph and Deep Agents accept, and back.

LangGraph refuses labels that hold a period, a NUL or nothing at all, and a first label ``langgraph``; Deep Agents
accepts only ``A-Z a-z 0-9 - _ . @ + : ~``. So an e-mail address or an integer user id cannot be a label as it is.

Form of an escaped label:

* letters, digits and ``- _ @ + :`` stand for themselves;
* every other character is its UTF-8 bytes, each as ``~`` and two upper-case hexadecimal digits: ``.`` is ``~2E``;
* the first letter of exactly ``langgraph`` is written that way too: ``~6Canggraph``;
* the empty text is ``~``, and the integer ``42`` is ``~i42``, so that it stays apart from the text ``42``.
"""

from __future__ import annotations

import contextlib
import re

from .errors import InvalidInputError, InvalidValueError

_RESERVED = "langgraph"
_EMPTY = "~"
_INTEGER = "~i"
_UNSAFE = re.compile(r"[^A-Za-z0-9\-_@+:]")
_ESCAPES = re.compile(r"(?:~[0-9A-F]{2})+")
_DECIMAL = re.compile(r"0|-?[1-9][0-9]*")


def escape_label(value: str | int) -> str:
    """``value`` as a legal namespace label; different values give different labels.

    >>> escape_label("ada@example.com"), escape_label(42)
    ('ada@example~2Ecom', '~i42')
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidValueError(f"a label is made of a str or an int, not of {type(value).__name__}: {value!r}")
    if isinstance(value, int):
        return f"{_INTEGER}{value}"
    if not value:
        return _EMPTY
    if value == _RESERVED:
        return _escape_text(value[0]) + value[1:]
    return _UNSAFE.sub(lambda match: _escape_text(match[0]), value)


def unescape_label(label: str) -> str | int:
    """What :func:`escape_label` made ``label`` of. Labels that hold no ``~`` are returned as they are."""
    if not isinstance(label, str):
        raise InvalidValueError(f"a label is a str, not {type(label).__name__}: {label!r}")
    if label == _EMPTY:
        return ""
    with contextlib.suppress(ValueError):  # of int() and of decode()
        if label.startswith(_INTEGER):
            if _DECIMAL.fullmatch(digits := label[len(_INTEGER) :]):
                return int(digits)
        elif "~" not in _ESCAPES.sub("", label):
            return _ESCAPES.sub(lambda match: bytes.fromhex(match[0].replace("~", "")).decode(), label)
    raise InvalidInputError(f"{label!r} is not a label that escape_label() makes")


def _escape_text(text: str) -> str:
    try:
        return "".join(f"~{byte:02X}" for byte in text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"a label must be valid Unicode; it holds {text!r}, half of a surrogate pair"
        ) from error
