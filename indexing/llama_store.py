"""An index as a LlamaIndex vector store, so that a LlamaIndex application searches what a build has made.

It only reads: a build knows the records of the collections by its ledger, and would never update or remove one that was
added here. Records of the query's own patient are not left out: filter by patient (``!=``), or retrieve with
`rag.SimilarCaseRetriever`, which leaves them out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from llama_index.core.schema import BaseNode, ImageNode, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from indexing.images.files import resolve_image
from indexing.index import Index
from indexing.records import Record
from indexing.stores.filters import FieldFilter
from indexing.stores.points import VECTOR_NAMES, VectorName
from titrate import InputError

FILTERABLE = ("id", "patient", "study", "split", "domain")
_OF_A_TEXT = {FilterOperator.EQ: True, FilterOperator.NE: False}
_OF_A_LIST = {FilterOperator.IN: True, FilterOperator.NIN: False}


class LlamaStore(BasePydanticVectorStore):
    """One domain of an open index, searched by one of its named vectors.

    ``VectorStoreIndex.from_vector_store(LlamaStore(index, "radiology"), embed_model=encoder)`` retrieves from it, where
    the encoder is the index's own. Ids, order and similarities are those of `Index.search`.

    Parameters
    ----------
    index
        Stays the caller's to close.
    domain
        One of its domains.
    using
        Compare queries with the records' images or with their reports.
    root
        Folder of the corpus's images, which an index does not know. With it, what is found are image nodes.

    Raises
    ------
    InputError
        If there is no such domain or vector.
    """

    _index: Index = PrivateAttr()
    _domain: str = PrivateAttr()
    _using: VectorName = PrivateAttr()
    _root: Path | None = PrivateAttr()

    def __init__(self, index: Index, domain: str, using: VectorName = "image", root: Path | None = None) -> None:
        super().__init__(stores_text=True)
        if domain not in index.domains:
            raise InputError(f"the index has no domain {domain!r}; it has {', '.join(index.domains)}")
        if using not in VECTOR_NAMES:
            raise InputError(f"no vector {using!r}; there are {' and '.join(VECTOR_NAMES)}")
        self._index, self._domain, self._using, self._root = index, domain, using, root

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex stores with a serialised component."""
        return "TitrateStore"

    @property
    def client(self) -> Index:
        """The index."""
        return self._index

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The records nearest to an embedding, best first.

        Metadata filters are on ``id``, ``patient``, ``study``, ``split`` and ``domain``, by ``==``, ``!=``, ``in`` and
        ``nin``; all of them must hold. A record that lacks the field passes ``!=`` and ``nin`` only.

        Parameters
        ----------
        query
            With an embedding, and where wanted node ids and metadata filters.
        **kwargs
            LlamaIndex's, ignored.

        Returns
        -------
        VectorStoreQueryResult
            The nodes, their cosine similarities, and their ids, which are the records'.

        Raises
        ------
        InputError
            If there is no embedding, it is of another encoder, or more is asked for than this; with a root, also if an
            image is missing or outside it.
        """
        if query.mode != VectorStoreQueryMode.DEFAULT or query.doc_ids:
            raise InputError("an index is searched by embedding alone; leave out the query mode and document ids")
        if query.query_embedding is None:
            raise InputError("an index is searched by embedding; give the query one, or an embed_model to make it")
        filters = _field_filters(query.filters)
        if query.node_ids:
            filters.append(FieldFilter("id", tuple(query.node_ids)))
        # A collection is of one domain, which its records need not name: filters by domain are answered here.
        ours = [each for each in filters if each.field == "domain"]
        reachable = all((self._domain in each.values) == each.wanted for each in ours)
        limit = query.similarity_top_k if reachable else 0
        rest = [each for each in filters if each.field != "domain"]
        vectors = np.asarray([query.query_embedding], np.float32)
        [found] = self._index.search(self._domain, vectors, limit, using=self._using, filters=rest)
        return VectorStoreQueryResult(
            nodes=[record_node(match.record, self._domain, self._root) for match in found],
            similarities=[match.similarity for match in found],
            ids=[match.record.id for match in found],
        )

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Refused; see `build_index`."""
        _refuse()

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Refused; see `build_index`."""
        _refuse()

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Refused; see `build_index`."""
        _refuse()

    def clear(self) -> None:
        """Refused; see `build_index`."""
        _refuse()


def record_node(record: Record, domain: str | None = None, root: Path | None = None) -> TextNode:
    """A record as LlamaIndex passes it on: its report, with the rest as metadata.

    None of the metadata goes into what a model is shown or what is embedded, because patient, study and path may reveal
    who the patient is.

    Parameters
    ----------
    record
        The record.
    domain
        Where it was found, if it does not name one itself.
    root
        Folder of its image. With it the node is an `ImageNode`; without, the metadata names the path within the corpus.

    Raises
    ------
    InputError
        If the image is missing or outside the root.
    """
    known = {
        "domain": record.domain or domain,
        "patient": record.patient,
        "study": record.study,
        "split": record.split,
        "image": record.image,
    }
    metadata = {name: value for name, value in known.items() if value is not None}
    fields: dict[str, Any] = {
        "id_": record.id,
        "text": record.report,
        "metadata": metadata,
        "excluded_llm_metadata_keys": [*metadata],
        "excluded_embed_metadata_keys": [*metadata],
    }
    if root is None:
        return TextNode(**fields)
    return ImageNode(image_path=str(resolve_image(root, record.image)), **fields)


def _field_filters(filters: MetadataFilters | None) -> list[FieldFilter]:
    if filters is None or not filters.filters:
        return []
    if filters.condition not in (None, FilterCondition.AND):
        raise InputError(f"filters joined by {filters.condition.value!r} are not supported; join them by 'and'")
    found: list[FieldFilter] = []
    for part in filters.filters:
        found += _field_filters(part) if isinstance(part, MetadataFilters) else [_field_filter(part)]
    return found


def _field_filter(part: MetadataFilter) -> FieldFilter:
    if part.key not in FILTERABLE:
        raise InputError(f"an index cannot be filtered by {part.key!r}; it can by {', '.join(FILTERABLE)}")
    if part.operator in _OF_A_TEXT and isinstance(part.value, str):
        return FieldFilter(part.key, (part.value,), _OF_A_TEXT[part.operator])
    if part.operator in _OF_A_LIST and isinstance(part.value, list):
        values = [value for value in part.value if isinstance(value, str)]
        if len(values) == len(part.value):
            return FieldFilter(part.key, tuple(values), _OF_A_LIST[part.operator])
    raise InputError(
        f"filter {part.key} {part.operator.value} {part.value!r} is not supported; "
        "there are == and != with a text, in and nin with a list of texts"
    )


def _refuse() -> NoReturn:
    raise InputError(
        "an index is changed by build_index alone, whose ledger sees to it that nothing is lost and nothing is there "
        "twice; add to the corpus, or take from it, and run that again"
    )
