"""Answering a file of questions at every k = 0..K, as calibrating, evaluating and mining do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import progress, with_view

if TYPE_CHECKING:
    from preference import Dose
    from rag import Outcomes, Pipeline, Question, Retrieved


@dataclass(frozen=True)
class Answering:
    """A question file, and the system that answers it."""

    pipeline: "Pipeline"
    path: Path
    root: Path | None
    max_k: int
    loss: str | None
    folder: Path

    def read(self, split: str) -> "list[Question]":
        """The questions of a split that can be judged."""
        from rag import closed_questions, read_questions

        read = read_questions(self.path, root=self.root, splits=[split])
        asked = closed_questions(read, self.path) if self.loss is None else read
        if len(asked) < len(read):
            click.echo(f"{len(read) - len(asked)} of {len(read)} questions are open and left out; see --loss", err=True)
        return asked

    def retrieve(self, asked: "Sequence[Question]") -> "Retrieved":
        """Questions with the cases that each may read."""
        from rag import retrieve

        system = self.pipeline
        found = retrieve(system.index, system.encoder, asked, self.max_k, system.retriever.mode, view=system.view)
        if found.declined:
            click.echo(
                f"{len(found.declined)} of {len(asked)} questions show images unlike the index's domains: declined",
                err=True,
            )
        return found

    def score(self, retrieved: "Retrieved", dose: "Dose | None" = None) -> "Outcomes":
        """Answer them at every k, about noised images if a dose is given, except those with known outcomes."""
        from rag import OutcomeCache, load_loss, score_outcomes
        from titrate import hash_json

        system = [self.pipeline.fingerprints, self.max_k, self.loss]
        key = hash_json(system if dose is None else [*system, asdict(dose)])
        label = "answering" if dose is None else "answering about noise"
        with OutcomeCache(self.folder, key) as cache, progress(label) as show:
            return score_outcomes(
                self.pipeline.mllm,
                self.pipeline.prompt,
                retrieved,
                self.max_k,
                loss=load_loss(self.loss or "tokens"),
                alter=None if dose is None else dose.apply,
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
    with Pipeline.open(certificate=None, k=0, **with_view(models)) as pipeline:
        yield Answering(pipeline, path, root, max_k, loss, outcomes)
