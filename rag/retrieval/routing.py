"""Questions with the domain that each was routed to, and the cases retrieved there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from indexing import Encoder, Exclusion, ImageView, Index, Match, load_image
from rag.questions import Question
from rag.retrieval.retriever import DEFAULT_MODE, RetrievalMode, SimilarCaseRetriever

_IMAGES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Retrieved:
    """Questions with all that their prompts depend on, one row a question.

    Attributes
    ----------
    questions
        Those about the same image stand together.
    domains
        Where each was routed.
    matches
        The cases retrieved there, best first.
    declined
        Questions whose images look like none of the index's domains: they have no row, as they get no answer.
    view
        How the images are decoded.
    logit_scale
        The encoder's factor on cosines.
    """

    questions: tuple[Question, ...]
    domains: tuple[str, ...]
    matches: tuple[tuple[Match, ...], ...]
    declined: tuple[Question, ...]
    view: ImageView
    logit_scale: float

    def take(self, ids: Sequence[str]) -> "Retrieved":
        """The same with only the questions of these ids, in its own order."""
        wanted = set(ids)
        rows = [row for row, question in enumerate(self.questions) if question.id in wanted]
        return replace(
            self,
            questions=tuple(self.questions[row] for row in rows),
            domains=tuple(self.domains[row] for row in rows),
            matches=tuple(self.matches[row] for row in rows),
        )


@dataclass(frozen=True, eq=False)
class Routed:
    """Questions with all that retrieval for them depends on, one row a question.

    Attributes
    ----------
    questions
        Those about the same image stand together.
    vectors
        Their images' embeddings, float32 [n, d].
    domains, exclusions
        Where each image was routed, and what must not be retrieved for it.
    in_domain
        Whether each image looks like its domain at all, bool [n].
    """

    questions: tuple[Question, ...]
    vectors: NDArray[np.float32]
    domains: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    in_domain: NDArray[np.bool_]


def route_questions(
    index: Index, encoder: Encoder, questions: Sequence[Question], view: ImageView | None = None
) -> Iterator[Routed]:
    """Embed and route each question's image, some images at a time, one embedding an image.

    Parameters
    ----------
    index, encoder
        The encoder must be the index's own.
    questions
        In any order.
    view
        Of their images; by default as the index's images were decoded.

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
        vectors = encoder.embed_images(images)
        routed, _ = index.route(vectors)
        in_domain = index.in_domain(vectors, routed)
        rows = [row for row, group in enumerate(chunk) for _ in group]
        asked = tuple(question for group in chunk for question in group)
        own = tuple(Exclusion(question.record, question.study, question.patient) for question in asked)
        yield Routed(asked, vectors[rows], tuple(routed[row] for row in rows), own, in_domain[rows])


def retrieve(
    index: Index,
    encoder: Encoder,
    questions: Sequence[Question],
    limit: int,
    mode: RetrievalMode = DEFAULT_MODE,
    *,
    decline: bool = True,
    view: ImageView | None = None,
) -> Retrieved:
    """Route each question's image and retrieve its similar cases.

    Parameters
    ----------
    index, encoder
        The encoder must be the index's own.
    questions
        In any order.
    limit
        At most so many cases a question.
    mode
        What is compared to find them.
    decline
        Leave out questions whose images look like none of the domains, as `Pipeline.ask` declines them by default.
    view
        Of the questions' images, here and when they are answered; by default as the index's images were decoded.

    Raises
    ------
    InputError
        If an image cannot be read, or the encoder is another.
    """
    retriever = SimilarCaseRetriever(index, encoder, limit, mode)
    ordered: list[Question] = []
    domains: list[str] = []
    found: list[tuple[Match, ...]] = []
    declined: list[Question] = []
    for part in route_questions(index, encoder, questions, view):
        kept = [row for row, in_domain in enumerate(part.in_domain) if in_domain or not decline]
        declined += [question for row, question in enumerate(part.questions) if row not in kept]
        asked = [part.questions[row] for row in kept]
        where = [part.domains[row] for row in kept]
        own = [part.exclusions[row] for row in kept]
        ordered += asked
        domains += where
        texts = [question.text for question in asked]
        found += map(tuple, retriever.similar(part.vectors[kept], where, own, limit, texts))
    return Retrieved(
        tuple(ordered),
        tuple(domains),
        tuple(found),
        tuple(declined),
        view or index.manifest.view,
        index.manifest.logit_scale,
    )


def _whose(question: Question) -> tuple[str, ...]:
    """What retrieval for a question depends on: its image, and what must not be retrieved with it."""
    return str(question.image), question.record or "", question.study or "", question.patient or ""
