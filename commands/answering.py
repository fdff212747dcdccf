"""Answering a file of questions at every k = 0..K, as calibrating, evaluating and mining do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import progress

if TYPE_CHECKING:
    from rag import Outcomes, Pipeline, Retrieved


@dataclass(frozen=True)
class Answering:
    """A question file, and the system that answers it."""

    pipeline: "Pipeline"
    path: Path
    root: Path | None
    max_k: int
    loss: str | None
    folder: Path

    def retrieve(self, split: str) -> "Retrieved":
        """The questions of a split, with the cases that each may read."""
        from rag import closed_questions, read_questions, retrieve

        read = read_questions(self.path, root=self.root, splits=[split])
        asked = closed_questions(read, self.path) if self.loss is None else read
        if len(asked) < len(read):
            click.echo(f"{len(read) - len(asked)} of {len(read)} questions are open and left out; see --loss", err=True)
        found = retrieve(self.pipeline.index, self.pipeline.encoder, asked, self.max_k, self.pipeline.retriever.mode)
        if found.declined:
            click.echo(
                f"{len(found.declined)} of {len(asked)} questions show images unlike the index's domains: declined",
                err=True,
            )
        return found

    def score(self, retrieved: "Retrieved") -> "Outcomes":
        """Answer them at every k, except those whose outcomes are known already."""
        from rag import OutcomeCache, load_loss, score_outcomes
        from titrate.files import hash_json

        key = hash_json([self.pipeline.fingerprints, self.max_k, self.loss])
        with OutcomeCache(self.folder, key) as cache, progress("answering") as show:
            return score_outcomes(
                self.pipeline.mllm,
                self.pipeline.prompt,
                retrieved,
                self.max_k,
                loss=load_loss(self.loss or "tokens"),
                cache=cache,
                progress=show,
            )


@contextmanager
def answering(
    path: Path, root: Path | None, max_k: int, loss: str | None, outcomes: Path, models: dict[str, Any]
) -> Iterator[Answering]:
    """Open the system for a question file."""
    from rag import Pipeline, load_loss

    load_loss(loss or "tokens")  # a wrong name is found before anything is loaded
    with Pipeline.open(certificate=None, k=0, **models) as pipeline:
        yield Answering(pipeline, path, root, max_k, loss, outcomes)
