"""Questions with the domain that each was routed to, and the cases retrieved there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from indexing import Exclusion, ImageView, Index, Match, Record, load_image, log_similarities, perceptual_hash
from rag.questions import Query
from rag.retrieval.deduplicate import deduplicate
from rag.retrieval.modes import DEFAULT_MODE, RetrievalMode

if TYPE_CHECKING:
    from indexing import Encoder
    from rag.retrieval.retriever import SimilarCaseRetriever

OutOfDomain = Literal["decline", "search", "accept"]
"""What becomes of an image that looks like none of the index's domains: it is declined, or all domains are searched, or
it is taken for one of the domain that the classifier chose."""

Asked = TypeVar("Asked", bound=Query)

_IMAGES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Retrieved(Generic[Asked]):
    """Questions with all that their prompts depend on, one row a question.

    Attributes
    ----------
    questions
        Those about the same image stand together.
    domains
        Where each was routed.
    matches
        The cases retrieved, best first.
    declined
        Questions whose images look like none of the index's domains: they have no row, as they get no answer.
    view
        How the images are shown.
    logit_scale, logit_bias
        The encoder's factor on cosines; and what it adds, if it was trained with a sigmoid loss and image and report
        were compared.
    probabilities
        How sure the domain classifier was of each domain.
    in_domain
        Whether each image looks like its domain at all.
    """

    questions: tuple[Asked, ...]
    domains: tuple[str, ...]
    matches: tuple[tuple[Match, ...], ...]
    declined: tuple[Asked, ...]
    view: ImageView
    logit_scale: float
    logit_bias: float | None
    probabilities: tuple[float, ...]
    in_domain: tuple[bool, ...]

    def take(self, rows: Sequence[int]) -> "Retrieved[Asked]":
        """The same with only these rows, in this order."""
        return replace(
            self,
            questions=tuple(self.questions[row] for row in rows),
            domains=tuple(self.domains[row] for row in rows),
            matches=tuple(self.matches[row] for row in rows),
            probabilities=tuple(self.probabilities[row] for row in rows),
            in_domain=tuple(self.in_domain[row] for row in rows),
        )

    def similarities(self, row: int, limit: int) -> list[float]:
        """Log-similarities of a question's first cases, what a ratio cut goes by: see `indexing.log_similarities`."""
        cosines = [match.similarity for match in self.matches[row][:limit]]
        return log_similarities(cosines, self.logit_scale, self.logit_bias)


@dataclass(frozen=True, eq=False)
class Routed(Generic[Asked]):
    """Questions with all that retrieval for them depends on, one row a question.

    Attributes
    ----------
    questions
        Those about the same image stand together.
    vectors
        Their images' embeddings, float32 [n, d].
    domains, exclusions
        Where each image was routed, and what must not be retrieved for it.
    probabilities
        Of each domain chosen, float64 [n].
    in_domain
        Whether each image looks like its domain at all, bool [n].
    copies
        Indexed records whose image is a copy of the question's.
    """

    questions: tuple[Asked, ...]
    vectors: NDArray[np.float32]
    domains: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    probabilities: NDArray[np.float64]
    in_domain: NDArray[np.bool_]
    copies: tuple[tuple[Record, ...], ...]


def route_questions(
    index: Index, encoder: "Encoder", questions: Sequence[Asked], view: ImageView | None = None
) -> Iterator[Routed[Asked]]:
    """Embed and route each question's image, some images at a time, one embedding an image.

    Parameters
    ----------
    index, encoder
        The encoder must be the index's own.
    questions
        In any order.
    view
        How their images are shown; by default as the index's images were.

    Raises
    ------
    InputError
        If an image cannot be read.
    """
    ordered = sorted(questions, key=lambda question: (_whose(question), question.id))
    groups = [list(group) for _, group in groupby(ordered, key=_whose)]
    for start in range(0, len(groups), _IMAGES_AT_ONCE):
        chunk = groups[start : start + _IMAGES_AT_ONCE]
        images = [load_image(group[0].image, view or index.manifest.view) for group in chunk]
        vectors = encoder.embed_images(images)  # [images, d]
        routed, probabilities = index.route(vectors)
        in_domain = index.in_domain(vectors, routed)
        copies = index.copies([perceptual_hash(image) for image in images])
        rows = [row for row, group in enumerate(chunk) for _ in group]
        asked = tuple(question for group in chunk for question in group)
        own = tuple(Exclusion(question.record, question.study, question.patient) for question in asked)
        yield Routed(
            asked,
            vectors[rows],
            tuple(routed[row] for row in rows),
            own,
            probabilities.max(axis=1)[rows],
            in_domain[rows],
            tuple(tuple(copies[row]) for row in rows),
        )


def retrieve(
    index: Index,
    encoder: "Encoder",
    questions: Sequence[Asked],
    limit: int,
    mode: RetrievalMode = DEFAULT_MODE,
    *,
    out_of_domain: OutOfDomain = "decline",
    view: ImageView | None = None,
) -> Retrieved[Asked]:
    """Route each question's image and retrieve its similar cases.

    Parameters
    ----------
    index, encoder
        The encoder must be the index's own.
    questions
        In any order.
    limit
        At most so many cases a question. The first k of them do not depend on it.
    mode
        What is compared to find them.
    out_of_domain
        What becomes of images that look like none of the domains.
    view
        How the questions' images are shown, here and when they are answered; by default as the index's images were.

    Raises
    ------
    InputError
        If an image cannot be read, or the encoder is another.
    """
    from rag.retrieval.retriever import SimilarCaseRetriever  # LlamaIndex takes a second and a half to import

    retriever = SimilarCaseRetriever(index, encoder, limit, mode)
    ordered: list[Asked] = []
    domains: list[str] = []
    found: list[tuple[Match, ...]] = []
    declined: list[Asked] = []
    probabilities: list[float] = []
    in_domain: list[bool] = []
    for part in route_questions(index, encoder, questions, view):
        kept = [row for row, inside in enumerate(part.in_domain) if inside or out_of_domain != "decline"]
        declined += [question for row, question in enumerate(part.questions) if row not in kept]
        asked = [part.questions[row] for row in kept]
        where = [part.domains[row] for row in kept]
        own = [part.exclusions[row] for row in kept]
        texts, copies = [question.text for question in asked], [part.copies[row] for row in kept]
        matches = retriever.similar(part.vectors[kept], where, own, limit, texts, copies)
        for row, similar in zip(kept, matches, strict=True):
            everywhere = out_of_domain == "search" and not part.in_domain[row]
            found.append(tuple(_search_all(retriever, part, row, limit) if everywhere else similar))
        ordered += asked
        domains += where
        probabilities += part.probabilities[kept].tolist()
        in_domain += part.in_domain[kept].tolist()
    return Retrieved(
        tuple(ordered),
        tuple(domains),
        tuple(found),
        tuple(declined),
        view or index.manifest.view,
        index.manifest.logit_scale,
        index.manifest.logit_bias if mode == "image-report" else None,
        tuple(probabilities),
        tuple(in_domain),
    )


def _search_all(retriever: "SimilarCaseRetriever", part: Routed[Asked], row: int, limit: int) -> list[Match]:
    """The cases most similar to one question's image in any of the domains, best first."""
    domains = retriever.index.domains
    asked = len(domains)
    vectors = np.repeat(part.vectors[[row]], asked, axis=0)  # [domains, d]
    own, texts, copies = [part.exclusions[row]] * asked, [part.questions[row].text] * asked, [part.copies[row]] * asked
    merged = [match for matches in retriever.similar(vectors, domains, own, limit, texts, copies) for match in matches]
    return deduplicate(sorted(merged, key=lambda match: (-match.similarity, match.record.id)))[:limit]


def _whose(question: Query) -> tuple[str, ...]:
    """What retrieval for a question depends on: its image, and what must not be retrieved with it."""
    return str(question.image), question.record or "", question.study or "", question.patient or ""
