"""Reports of similar cases, as a LlamaIndex retriever: never the query's own image, study or patient."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from numpy.typing import NDArray

from indexing import Encoder, Exclusion, Index, Match, load_image
from titrate.errors import InputError

SAME_IMAGE = 1 - 1e-5
"""From this cosine on, two embeddings differ by rounding only: the match is the query's own image."""

_SPARE = 4  # fetched beyond the limit, to make up for copies of the query's own image


class SimilarCaseRetriever(BaseRetriever):
    """Routes an image to its domain and finds the most similar cases there.

    Parameters
    ----------
    index, encoder
        The encoder must be the one that the index was built with.
    limit
        At most so many cases a query.

    Raises
    ------
    InputError
        If the encoder is another one.
    """

    def __init__(self, index: Index, encoder: Encoder, limit: int = 8) -> None:
        if encoder.fingerprint != index.manifest.encoder_fingerprint:
            raise InputError(
                f"encoder {encoder.id} did not make this index, {index.manifest.encoder} did; "
                "use that one or build the index again"
            )
        self.index, self.encoder, self.limit = index, encoder, limit
        super().__init__()

    def similar(
        self, vectors: NDArray[np.float32], domains: Sequence[str], exclusions: Sequence[Exclusion], limit: int
    ) -> list[list[Match]]:
        """The cases most similar to each query within its domain, best first.

        Copies of the query's own image are found by their similarity and left out, and with them whatever else belongs
        to their patients and studies: so nobody has to say whose an indexed image is.

        Parameters
        ----------
        vectors
            Image embeddings, float32 [n, d].
        domains
            Where to look, one a query.
        exclusions
            The query's own record, study and patient, one a query.
        limit
            At most so many a query.
        """
        found: list[list[Match]] = [[] for _ in domains]
        for domain in sorted(set(domains)) if limit > 0 else ():
            rows = [row for row, name in enumerate(domains) if name == domain]
            asked = limit + _SPARE
            while rows:
                matches = self.index.search(domain, vectors[rows], asked, [exclusions[row] for row in rows])
                for row, candidates in zip(rows, matches, strict=True):
                    found[row] = _others(candidates)[:limit]
                # Too many were the query's own, and there may be more behind them: look again, further.
                short = zip(rows, matches, strict=True)
                rows = [row for row, found_here in short if len(found[row]) < limit and len(found_here) == asked]
                asked *= 4
        return found

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """LlamaIndex's way in: a query bundle with ``image_path``."""
        if query_bundle.image_path is None:
            raise InputError("similar cases are found by image; set image_path in the query bundle")
        vectors = self.encoder.embed_images([load_image(Path(query_bundle.image_path))])
        domains, _ = self.index.route(vectors)
        return [as_node(match) for match in self.similar(vectors, domains, [Exclusion()], self.limit)[0]]


def _others(candidates: Sequence[Match]) -> list[Match]:
    """The matches, best first, that are not the query's own image nor share patient or study with a copy of it."""
    own = [match.record for match in candidates if match.similarity >= SAME_IMAGE]
    patients = {record.patient for record in own} - {None}
    studies = {record.study for record in own} - {None}
    return [
        match
        for match in candidates[len(own) :]
        if match.record.patient not in patients and match.record.study not in studies
    ]


def as_node(match: Match) -> NodeWithScore:
    """A retrieved case as LlamaIndex passes it on; the score is the cosine similarity."""
    metadata = {"domain": match.record.domain, "image": match.record.image}
    return NodeWithScore(
        node=TextNode(id_=match.record.id, text=match.record.report, metadata=metadata), score=match.similarity
    )
