"""An archive through a world's models: tuned, indexed, every question answered; what is done is not done again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.models import lines
from benchmarks.results.archive import Archive
from indexing import CorpusOptions, Encoder, TuningSettings, build_index, tune_encoder
from rag import Outcomes, Question, QuestionOptions, QuestionRun, SystemOptions, Trial, closed_questions, read_questions
from rag.retrieval.modes import DEFAULT_MODE, RetrievalMode
from titrate import hash_json

MAX_K = 8
DEPTH = 64
"""Similar cases among which voters are looked for: many were not asked the same question."""
SPLITS = ("prefer", "calibrate", "test")


@dataclass(frozen=True)
class Models:
    """A world's models, and where everything about them is kept.

    Attributes
    ----------
    encoder
        As for `Encoder.open`; never tuned on the archive.
    mllm
        The reader.
    work
        Folder.
    """

    encoder: str
    mllm: str
    work: Path


def tuned_encoder(archive: Archive, models: Models, seed: int) -> str:
    """Tune the encoder on the archive's train split, or find that done; what `Encoder.open` takes."""
    settings = TuningSettings(seed=seed)
    made_of = [archive.digest, Encoder.open(models.encoder).fingerprint, settings.describe()]
    folder = models.work / "encoders" / f"{archive.world}-{hash_json(made_of)[:12]}-seed{seed}"
    if not (folder / "open_clip_config.json").exists():  # moved there last
        with lines("tuning") as progress:
            tune_encoder(
                archive.corpus,
                models.encoder,
                folder,
                settings,
                CorpusOptions(root=archive.root, split="train"),
                progress=progress,
            )
    return f"local-dir:{folder.absolute()}"


def index_of(archive: Archive, encoder: str, work: Path, corpus: Path | None = None) -> Path:
    """Index the archive's train split, or find that done; ``corpus`` stands in for its own records."""
    opened = Encoder.open(encoder)
    made_of = [archive.digest, opened.fingerprint, None if corpus is None else corpus.name]
    folder = work / "indexes" / f"{archive.world}-{hash_json(made_of)[:12]}"
    if not (folder / "manifest.json").exists():  # written last
        build_index(corpus or archive.corpus, folder, opened, CorpusOptions(root=archive.root, split="train"))
    return folder


@contextmanager
def open_run(
    archive: Archive,
    models: Models,
    index: Path,
    adapter: Path | None = None,
    retrieval: RetrievalMode = DEFAULT_MODE,
) -> Iterator[QuestionRun]:
    """The archive's questions through the models; outcomes are kept in the work folder."""
    questions = QuestionOptions(archive.questions, archive.root, max_k=MAX_K, outcomes=models.work / "outcomes")
    system = SystemOptions(index, models.mllm, adapter, retrieval=retrieval)
    with QuestionRun.open(system, questions, progress=lines) as run:
        yield run


def asked(archive: Archive, split: str) -> list[Question]:
    """The closed questions of a split."""
    read = read_questions(archive.questions, root=archive.root, splits=[split])
    return closed_questions(read, archive.questions)


@dataclass(frozen=True, eq=False)
class Answered:
    """Outcomes by split, and for each question of `test` the similar cases that may vote.

    Attributes
    ----------
    outcomes
        By split.
    near
        Ids of records, best first.
    known
        Answered questions of the train split.
    fingerprints
        Of the system that answered.
    """

    outcomes: Mapping[str, Outcomes]
    near: Sequence[Sequence[str]]
    known: Sequence[Question]
    fingerprints: Mapping[str, str]

    def trial(self) -> Trial:
        """What comparators are given."""
        held = self.outcomes
        return Trial(held["test"], held.get("calibrate"), held.get("prefer"), self.known, self.near)


def answer_splits(
    run: QuestionRun, archive: Archive, splits: Sequence[str] = SPLITS, *, best_last: bool = False
) -> Answered:
    """Answer the closed questions of some splits, `test` among them, at every k, also about images out of domain.

    With ``best_last`` the `MAX_K` reports are read in the opposite order: then the answers at k = `MAX_K` are those
    wanted, and smaller k read the least similar of them.
    """
    outcomes: dict[str, Outcomes] = {}
    near: list[list[str]] = []
    for split in splits:
        # Not through the run: so that one search serves the votes, too. The first cases do not depend on the limit.
        questions = asked(archive, split)
        if split != "prefer":  # where a list beside the weights says whom they saw, none may be judged by
            run.refuse_trained_on(questions)
        found = run.system.retrieve(questions, DEPTH, "accept")
        if split == "test":
            near = [[match.record.id for match in matches] for matches in found.matches]
        step = -1 if best_last else 1
        found = replace(found, matches=tuple(matches[:MAX_K][::step] for matches in found.matches))
        outcomes[split] = run.score(found)
    known = run.known_questions(outcomes["test"].questions)
    return Answered(outcomes, near, known, run.system.fingerprints)
