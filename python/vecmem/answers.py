"""What a search returns: a list of hits that also says how complete it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vecmem._vecmem import Hit

    _Hits = list[Hit]
else:
    _Hits = list


class Answer(_Hits):
    """The hits of a search or listing, in order.

    ``incomplete`` is true if damaged parts were skipped (only with ``partial=True``). ``explain`` holds, if the call
    asked for it, dicts, one for each part of the store: the path taken, and rows scanned, walked and scored.
    """

    incomplete: bool = False
    explain: Sequence[dict[str, Any]] = ()
