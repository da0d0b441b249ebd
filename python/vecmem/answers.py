"""What a search returns: a list of hits that also says how complete it is."""

from typing import Any


class Answer(list):  # type: ignore[type-arg]
    """The hits of a search or listing, in order.

    ``degraded`` is true if damaged parts were skipped (only with ``partial=True``). ``explain`` holds, if the call asked
    for it, a dict for each part of the store: the path taken, and rows scanned, walked and scored.
    """

    degraded: bool = False
    explain: "list[dict[str, Any]]" = []
