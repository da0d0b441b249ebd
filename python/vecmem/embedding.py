"""From values to texts to vectors: what an index configuration says, and the calls of the embedding model.

Which texts a path means is LangGraph's own definition (``tokenize_path`` and ``get_text_at_path``). Each distinct text
of a batch is embedded once, with ``embed_documents``; queries with ``embed_query``, which asymmetric models tell apart.

Invariants:
* A path that gives one text gives a vector named like the path; one that gives several gives ``path.0``, ``path.1`` and
  so on.
* Nothing here writes, so a model that fails, or returns what is not one vector per text, leaves the store as it was.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy
from langgraph.store.base import ensure_embeddings, get_text_at_path, tokenize_path
from langgraph.store.base.embed import EmbeddingsLambda

from . import loop
from ._vecmem import _LABEL_BYTES, _SQUARED_NORM, _vector
from .contract import check_text, shown
from .errors import InvalidInputError, InvalidValueError
from .index_checks import check_embed, check_keys, check_path
from .words import counted

METRICS = {"cosine": "cosine", "l2": "l2", "inner_product": "dot"}
"""``distance_type`` of the index configuration, and the engine's word for it."""

QUERY_THREADS = 8
"""Queries of one batch that are embedded at a time."""

PATH_BYTES_MAX = _LABEL_BYTES - len(".4095")
"""Of the path of a field, so that the names of its vectors are not too long."""

Path = tuple[str, "str | list[str]"]
Array = numpy.ndarray[Any, numpy.dtype[numpy.float32]]


@dataclass(slots=True)
class Texts:
    """What a batch wants embedded, without repetition."""

    documents: list[str]
    queries: list[str]

    def __bool__(self) -> bool:
        return bool(self.documents or self.queries)


@dataclass(slots=True)
class Vectors:
    """The vector of each document and of each query."""

    documents: dict[str, Array]
    queries: dict[str, Array]


class Embedder:
    """The index configuration of a store, checked.

    ``index`` is LangGraph's ``IndexConfig`` with these extras: ``distance_type`` (``cosine``, ``l2`` or
    ``inner_product``), ``model`` (a name under which vectors are cached) and ``index_rules``. Keys of LangGraph's other
    stores that have no meaning here are passed over; any other key is an error.
    """

    def __init__(self, index: Mapping[str, Any]) -> None:
        if not isinstance(index, Mapping):
            raise InvalidValueError(
                f"index must be a dict such as {{'dims': 384, 'embed': ...}}, not {type(index).__name__}"
            )
        check_keys(index)
        dims = index.get("dims")
        if isinstance(dims, bool) or not isinstance(dims, int) or dims < 1:
            raise InvalidValueError(
                f"index['dims'] must be the number of dimensions of the embeddings, but got {shown(dims)}"
            )
        metric = index.get("distance_type") or "cosine"
        if not isinstance(metric, str) or metric not in METRICS:
            raise InvalidInputError(
                f"index['distance_type'] must be one of {', '.join(METRICS)}, but got {shown(metric)}"
            )
        self.dims: int = dims
        self.metric = METRICS[metric]
        check_embed(index.get("embed"))
        self.embeddings = _serving_both(ensure_embeddings(index.get("embed")))
        self.model = _model_name(index, self.embeddings)
        fields = index.get("fields")
        self.fields = self.paths(["$"] if fields is None else fields)
        for path in fields or ():
            check_path("index['fields']", path)

    @staticmethod
    def paths(paths: Any) -> list[Path]:
        """The paths of ``fields`` or of a put's ``index``, tokenized once."""
        if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
            raise InvalidValueError(f"index must be None, False or a list of field paths, but got {shown(paths)}")
        for path in paths:
            check_text("a field path", path, PATH_BYTES_MAX)
        return [(path, path if path == "$" else tokenize_path(path)) for path in paths]

    @staticmethod
    def texts(value: Mapping[str, Any], paths: Iterable[Path]) -> list[tuple[str, str]]:
        """The (vector name, text) pairs of a value."""
        found = []
        for name, tokens in paths:
            texts = get_text_at_path(value, tokens)
            if len(texts) == 1:
                found.append((name, texts[0]))
            else:
                found.extend((f"{name}.{place}", text) for place, text in enumerate(texts))
        return found

    def embed(self, texts: Texts) -> Vectors:
        """Calls the model's synchronous methods."""
        documents = self.embeddings.embed_documents(texts.documents) if texts.documents else []
        return self._vectors(texts, documents, self._embed_queries(texts.queries))

    def embed_query(self, query: str) -> Array:
        """The vector of one query, by the model's synchronous method."""
        return self._rows("embed_query", [query], [self.embeddings.embed_query(query)])[0]

    async def aembed(self, texts: Texts) -> Vectors:
        """Calls the model's asynchronous methods, all at once."""
        waiting: list[Any] = [self.embeddings.aembed_query(query) for query in texts.queries]
        if texts.documents:
            waiting.append(self.embeddings.aembed_documents(texts.documents))
        found = list(await asyncio.gather(*waiting))
        documents = found.pop() if texts.documents else []
        return self._vectors(texts, documents, found)

    def _embed_queries(self, queries: list[str]) -> Sequence[Any]:
        if len(queries) < 2:
            return [self.embeddings.embed_query(query) for query in queries]
        contexts = [contextvars.copy_context() for _ in queries]
        with ThreadPoolExecutor(min(len(queries), QUERY_THREADS)) as threads:
            return list(
                threads.map(lambda context, query: context.run(self.embeddings.embed_query, query), contexts, queries)
            )

    def _vectors(self, texts: Texts, documents: Any, queries: Any) -> Vectors:
        return Vectors(
            dict(zip(texts.documents, self._rows("embed_documents", texts.documents, documents), strict=True)),
            dict(zip(texts.queries, self._rows("embed_query", texts.queries, queries), strict=True)),
        )

    def _rows(self, method: str, texts: list[str], vectors: Any) -> list[Array]:
        """One row per text, or an error that says what the model did."""
        if not texts:
            return []
        try:
            rows: list[Array] = [_vector(vector) for vector in vectors]
        except (TypeError, ValueError) as error:
            raise InvalidValueError(
                f"{method} must return vectors of {counted(self.dims, 'number')}: {error}"
            ) from error
        lengths = {len(row) for row in rows}
        if len(rows) != len(texts) or lengths != {self.dims}:
            raise InvalidInputError(
                f"{method} must return {counted(len(texts), 'vector')} of {counted(self.dims, 'number')} "
                f"(index['dims']), but returned {len(rows)} of {', '.join(map(str, sorted(lengths))) or 'none'}"
            )
        for row in rows:
            wide = row.astype(numpy.float64)  # in which no square of a float32 overflows
            if not float(wide @ wide) <= _SQUARED_NORM:  # nor is that of one that holds NaN
                raise InvalidInputError(
                    f"{method} must return vectors of finite numbers with a squared norm of at most {_SQUARED_NORM:g}, "
                    f"but returned {shown(row.tolist())}"
                )
        return rows


class _AsyncFunction(EmbeddingsLambda):
    """An async embedding function that serves synchronous calls too, which LangGraph's class refuses."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return loop.run(self.aembed_documents(texts))


def _serving_both(embeddings: Any) -> Any:
    only_async = type(embeddings) is EmbeddingsLambda and not hasattr(embeddings, "func")
    return _AsyncFunction(embeddings.afunc) if only_async else embeddings


def _model_name(index: Mapping[str, Any], embeddings: Any) -> str | None:
    """The name under which vectors are cached: a model without a name has none."""
    embed = index.get("embed")
    names = (index.get("model"), embed, getattr(embeddings, "model", None), getattr(embeddings, "model_name", None))
    return next((name for name in names if isinstance(name, str) and name), None)
