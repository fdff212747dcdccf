"""Reports of similar cases, as a LlamaIndex retriever: never the query's own image, study or patient.

A query's own image is known by its record, by its embedding within the routed domain, or as a copy of a picture in any
domain. A report that belongs to several images of a study is given once, with the image that matches best, so that k
cases are k different reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from numpy.typing import NDArray

from indexing import Encoder, Exclusion, Index, Match, Record, load_image, perceptual_hash, record_node
from rag.retrieval.deduplicate import deduplicate, report_key
from rag.retrieval.fusion import fuse_ranks
from rag.retrieval.modes import DEFAULT_MODE, FUSED_DEPTH, SAME_IMAGE, RetrievalMode, check_mode
from titrate import InputError

_SPARE = 4  # fetched beyond the limit, to make up for what is the query's own and for reports that come twice


class SimilarCaseRetriever(BaseRetriever):
    """Routes an image to its domain and finds the most similar cases there.

    Parameters
    ----------
    index, encoder
        The encoder must be the one that the index was built with.
    limit
        At most so many cases a query.
    mode
        What is compared with what.

    Raises
    ------
    InputError
        If the encoder is another one, or there is no such mode.
    """

    def __init__(self, index: Index, encoder: Encoder, limit: int = 8, mode: RetrievalMode = DEFAULT_MODE) -> None:
        index.check_encoder(encoder)
        check_mode(mode)
        self.index, self.encoder, self.limit = index, encoder, limit
        self.mode: RetrievalMode = mode
        super().__init__()

    def similar(
        self,
        vectors: NDArray[np.float32],
        domains: Sequence[str],
        exclusions: Sequence[Exclusion],
        limit: int,
        texts: Sequence[str] | None = None,
        copies: Sequence[Sequence[Record]] | None = None,
    ) -> list[list[Match]]:
        """The cases most similar to each query within its domain, best first, each report of a study once.

        Copies of the query's own image are left out, and with them whatever else belongs to their patients and studies,
        in every mode: so nobody has to say whose an indexed image is. They are found by their embedding, and those that
        were saved anew or at another size by `indexing.Index.copies`.

        Parameters
        ----------
        vectors
            Image embeddings, float32 [n, d]. Equal rows with equal exclusions are searched for once.
        domains
            Where to look, one a query.
        exclusions
            The query's own record, study and patient, one a query.
        limit
            At most so many a query. Fusion has at most 150 to give.
        texts
            The questions, one a query; needed where the mode compares them.
        copies
            Indexed records whose image is a copy of the query's, one list a query; None for none.

        Returns
        -------
        list
            A list of matches a query; the first k of them do not depend on the limit. The similarity is the cosine that
            the mode ranks by. After fusion it is that of the images where the case is among the 50 nearest images, else
            that of the image or the question with the report, whichever ranked the case: it does not fall steadily.

        Raises
        ------
        InputError
            If the mode compares questions and there are none.
        """
        questions = self._questions(texts)
        found: list[list[Match]] = [[] for _ in domains]
        for domain in sorted(set(domains)) if limit > 0 else ():
            rows = [row for row, name in enumerate(domains) if name == domain]
            own = [self.index.recognise(exclusions[row]) for row in rows]
            asked = None if questions is None else questions[rows]
            same = [tuple(copies[row]) if copies is not None else () for row in rows]
            for row, matches in zip(rows, self._within(domain, vectors[rows], own, same, asked, limit), strict=True):
                found[row] = matches
        return found

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """LlamaIndex's way in: a query bundle with ``image_path`` and, where the mode compares it, the question."""
        if query_bundle.image_path is None:
            raise InputError("similar cases are found by image; set image_path in the query bundle")
        image = load_image(Path(query_bundle.image_path), self.index.manifest.view)
        vectors = self.encoder.embed_images([image])
        domains, _ = self.index.route(vectors)
        copies = self.index.copies([perceptual_hash(image)])
        found = self.similar(vectors, domains, [Exclusion()], self.limit, [query_bundle.query_str], copies)
        return [as_node(match) for match in found[0]]

    def _questions(self, texts: Sequence[str] | None) -> NDArray[np.float32] | None:
        """The questions' embeddings, each wording embedded once, or None where the mode does not compare them."""
        if self.mode not in ("question-report", "fusion"):
            return None
        if texts is None or not all(text.strip() for text in texts):
            raise InputError(f"retrieval by {self.mode} compares the question; give its text")
        place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        return self.encoder.embed_queries(list(place))[[place[text] for text in texts]]

    def _within(
        self,
        domain: str,
        images: NDArray[np.float32],
        exclusions: Sequence[Exclusion],
        copies: Sequence[tuple[Record, ...]],
        questions: NDArray[np.float32] | None,
        limit: int,
    ) -> list[list[Match]]:
        keys = list(zip([image.tobytes() for image in images], exclusions, copies, strict=True))
        place = {key: row for row, key in enumerate(dict.fromkeys(keys))}
        shared = [place[key] for key in keys]
        first = [shared.index(row) for row in range(len(place))]
        images = images[first]

        depth = FUSED_DEPTH if self.mode == "fusion" else limit
        by_image = self.mode in ("image-image", "fusion")
        near = self._neighbourhood(domain, images, (depth if by_image else 0) + _SPARE)
        own = [_Own.of(exclusions[row], copies[row], matches) for row, matches in zip(first, near, strict=True)]
        rankings: list[list[list[Match]]] = []
        if by_image:
            found = self._ranked(domain, images, "image", own, depth, near)
            rankings.append([found[row] for row in shared])
        if self.mode in ("image-report", "fusion"):
            found = self._ranked(domain, images, "text", own, depth)
            rankings.append([found[row] for row in shared])
        if questions is not None:
            rankings.append(self._ranked(domain, questions, "text", [own[row] for row in shared], depth))
        if self.mode != "fusion":
            return rankings[0]
        return [_fused(lists)[:limit] for lists in zip(*rankings, strict=True)]

    def _neighbourhood(self, domain: str, images: NDArray[np.float32], depth: int) -> list[list[Match]]:
        """The nearest images, the query's own among them, so many or more that every copy of the query's is there."""
        found: list[list[Match]] = [[] for _ in images]
        rows = list(range(len(images)))
        while rows:
            for row, matches in zip(rows, self.index.search(domain, images[rows], depth), strict=True):
                found[row] = matches
            rows = [row for row in rows if len(found[row]) == depth and found[row][-1].similarity >= SAME_IMAGE]
            depth *= 4
        return found

    def _ranked(
        self,
        domain: str,
        vectors: NDArray[np.float32],
        using: Literal["image", "text"],
        own: Sequence["_Own"],
        limit: int,
        near: Sequence[list[Match]] | None = None,
    ) -> list[list[Match]]:
        """The nearest of each query that are not its own; ``near`` is what has been fetched of them already."""
        found: list[list[Match]] = [[] for _ in vectors]
        rows, asked = list(range(len(vectors))), limit + _SPARE
        while rows:
            matches = near or self.index.search(domain, vectors[rows], asked, [own[row].named for row in rows], using)
            for row, candidates in zip(rows, matches, strict=True):
                found[row] = deduplicate([match for match in candidates if not own[row].holds(match.record)])[:limit]
            # Too many were the query's own or came twice, and there may be more behind them: look again, further.
            short = zip(rows, matches, strict=True)
            rows = [row for row, candidates in short if len(found[row]) < limit and len(candidates) >= asked]
            asked, near = asked * 4, None
        return found


@dataclass(frozen=True)
class _Own:
    """What is the query's own: what was named, the copies of its image, and their studies and patients."""

    named: Exclusion
    ids: frozenset[str | None]
    studies: frozenset[str | None]
    patients: frozenset[str | None]

    @classmethod
    def of(cls, named: Exclusion, saved_anew: Sequence[Record], near: Sequence[Match]) -> "_Own":
        copies = [*saved_anew, *(match.record for match in near if match.similarity >= SAME_IMAGE)]
        return cls(
            named,
            frozenset({named.record_id, *(record.id for record in copies)} - {None}),
            frozenset({*named.studies, *(record.study for record in copies)} - {None}),
            frozenset({*named.patients, *(record.patient for record in copies)} - {None}),
        )

    def holds(self, record: Record) -> bool:
        return record.id in self.ids or record.study in self.studies or record.patient in self.patients


def _fused(rankings: Sequence[list[Match]]) -> list[Match]:
    """One ranking of reports, each match as the first ranking that holds its report has it."""
    known = {report_key(match.record): match for ranking in reversed(rankings) for match in ranking}
    return [known[key] for key in fuse_ranks([[report_key(match.record) for match in ranking] for ranking in rankings])]


def as_node(match: Match) -> NodeWithScore:
    """A retrieved case as LlamaIndex passes it on; the score is the cosine similarity."""
    return NodeWithScore(node=record_node(match.record), score=match.similarity)
