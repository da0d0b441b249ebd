"""``BaseStore``'s single calls, whose refusal of a label with a period says what to write instead.

``BaseStore`` checks labels itself before a call reaches ``batch``, where the store's own check says it.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from langgraph.store.base import BaseStore, InvalidNamespaceError

from .contract import period_hint, shortened

_PERIOD = re.compile(r"Invalid namespace label '(.*)' found in .* cannot contain periods \('\.'\)\.", re.DOTALL)

F = TypeVar("F", bound=Callable[..., Any])


def _told(error: InvalidNamespaceError) -> InvalidNamespaceError:
    """The error with the hint, if it is about a period and has none, and of bounded length."""
    message = str(error)
    found = _PERIOD.fullmatch(message)
    return InvalidNamespaceError(shortened(f"{message} {period_hint(found[1])}" if found else message))


def hinted(method: F) -> F:
    """``method``, synchronous or not, with the hint in its errors."""

    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except InvalidNamespaceError as error:
            raise _told(error) from None

    @functools.wraps(method)
    async def acall(*arguments: Any, **options: Any) -> Any:
        try:
            return await method(*arguments, **options)
        except InvalidNamespaceError as error:
            raise _told(error) from None

    return cast(F, acall if inspect.iscoroutinefunction(method) else call)


class HintedStore(BaseStore):
    """A ``BaseStore`` whose errors about labels name ``escape_label``."""

    get = hinted(BaseStore.get)
    search = hinted(BaseStore.search)
    put = hinted(BaseStore.put)
    delete = hinted(BaseStore.delete)
    list_namespaces = hinted(BaseStore.list_namespaces)
    aget = hinted(BaseStore.aget)
    asearch = hinted(BaseStore.asearch)
    aput = hinted(BaseStore.aput)
    adelete = hinted(BaseStore.adelete)
    alist_namespaces = hinted(BaseStore.alist_namespaces)
