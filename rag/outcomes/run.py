"""A question file through a system: read, retrieve, score. What is made of the outcomes is for others to say."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rag.models.base import OPENING_ANSWER
from rag.outcomes.cache import OUTCOME_FIELDS, OutcomeCache
from rag.outcomes.losses import Loss, load_loss, loss_fingerprint, reads_findings, unread
from rag.outcomes.score import Outcomes, score_outcomes
from rag.outcomes.splits import known_questions, other_patient_hashes
from rag.outcomes.trained_on import refuse_trained_on, tell_trained_on
from rag.prompt import ReportsRead
from rag.questions import Question, closed_questions, read_questions
from rag.retrieval.routing import OutOfDomain, Retrieved
from rag.system import AnsweringSystem, SystemOptions
from titrate import InputError, TitrateWarning, hash_json

if TYPE_CHECKING:
    from PIL import Image

ShowProgress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Given a label, a context manager whose value is told how much is done, and of how much."""


@dataclass(frozen=True)
class QuestionOptions:
    """A question file, and how it is scored.

    Attributes
    ----------
    path
        See `read_questions`.
    root
        Folder of the images; the file's own folder by default.
    max_k
        K: every question is answered with 0 to K contexts.
    loss
        Name of the loss of open questions, see `load_loss`; None leaves them out.
    outcomes
        Folder that keeps what has been scored, so that a second run need not score it again.
    """

    path: Path
    root: Path | None = None
    max_k: int = 8
    loss: str | None = None
    outcomes: Path = Path("outcomes")


@contextmanager
def no_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show nothing."""
    yield lambda done, total: None


class QuestionRun:
    """Runs a question file through a system; a context manager where it has opened the system itself.

    Parameters
    ----------
    system
        Retrieves and answers.
    options
        The questions.
    progress
        Shows how far scoring is.

    Raises
    ------
    InputError
        If there is no such loss.
    """

    def __init__(
        self, system: AnsweringSystem, options: QuestionOptions, *, progress: ShowProgress = no_progress
    ) -> None:
        self.system, self.options, self.progress = system, options, progress
        self.loss = load_loss(options.loss or "tokens")

    @classmethod
    def open(
        cls, system: SystemOptions, options: QuestionOptions, *, progress: ShowProgress = no_progress
    ) -> "QuestionRun":
        """Open the system for a question file; a loss that does not exist is found before anything is loaded.

        Raises
        ------
        InputError
            If there is no such loss, or the system cannot be opened.
        """
        load_loss(options.loss or "tokens")
        return cls(AnsweringSystem.open(system), options, progress=progress)

    def __enter__(self) -> "QuestionRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.system.close()

    @property
    def root(self) -> Path:
        """Folder of the questions' images."""
        return self.options.root or self.options.path.parent

    @property
    def max_k(self) -> int:
        """K."""
        return self.options.max_k

    def read(self, split: str) -> list[Question]:
        """The questions of a split that can be judged; open ones are left out, with a warning, unless a loss is named.

        Raises
        ------
        InputError
            If the file is unsound, holds no such question, or one whose reference answer the loss cannot read.
        """
        read = read_questions(self.options.path, root=self.options.root, splits=[split])
        if reads_findings(self.options.loss):
            _refuse_unreadable(read, self.loss, self.options.path)
        if self.options.loss is not None:
            return read
        asked = closed_questions(read, self.options.path)
        if len(asked) < len(read):
            _warn(f"{len(read) - len(asked)} of {len(read)} questions are open and left out; see --loss")
        return asked

    def retrieve(self, questions: Sequence[Question], out_of_domain: OutOfDomain = "decline") -> Retrieved[Question]:
        """Questions with the cases that each may read; warnings tell how many were declined, and of cut reports.

        Parameters
        ----------
        questions
            In any order.
        out_of_domain
            What becomes of images unlike the index's domains.

        Raises
        ------
        InputError
            If an image cannot be read.
        """
        found = self.system.retrieve(questions, self.max_k, out_of_domain)
        if found.declined:
            _warn(
                f"{len(found.declined)} of {len(questions)} questions show images unlike the index's domains: declined"
            )
        read = self.reports_read(found)
        if read.cut:
            _warn(
                f"{read.cut} of the {read.reports} reports retrieved are longer than {read.tokens} tokens and are read "
                "cut, findings and impression last; --max-report-tokens sets how much is read"
            )
        return found

    def reports_read(self, retrieved: Retrieved[Question]) -> ReportsRead:
        """How many different reports the questions may read, and how many of these are cut."""
        reports = {match.record.id: match.record.report for found in retrieved.matches for match in found}
        return self.system.prompt.reports_read(reports.values())

    def score(
        self,
        retrieved: Retrieved[Question],
        *,
        alter: "Callable[[Image.Image], Image.Image] | None" = None,
        alteration: dict[str, Any] | None = None,
    ) -> Outcomes:
        """Answer questions at every k, except those whose outcomes are known.

        Parameters
        ----------
        retrieved
            The questions with their cases.
        alter
            What to do to each image before the model sees it.
        alteration
            What names that for good, as JSON; outcomes are kept apart by it. Needed with ``alter``.

        Raises
        ------
        InputError
            As `score_outcomes`.
        """
        if (alter is None) != (alteration is None):
            raise ValueError("an alteration of images needs a name, and a name an alteration")
        label = "answering" if alter is None else "answering about altered images"
        with self._outcomes(self._key(alteration)) as cache, self.progress(label) as show:
            return score_outcomes(
                self.system.mllm,
                self.system.prompt,
                retrieved,
                self.max_k,
                loss=self.loss,
                alter=alter,
                cache=cache,
                progress=show,
            )

    def refuse_other_weights(self) -> None:
        """Refuse to go on with outcomes of a server's model if the server runs other weights under its name now.

        Raises
        ------
        InputError
            If so, or if the outcomes cannot be read.
        """
        self._outcomes(self._key(None)).close()

    def _outcomes(self, key: str) -> OutcomeCache:
        # The bits of what was kept may differ with the device, too, but only of a server is the model itself in doubt.
        versions = {name: held for name, held in self.system.mllm.versions.items() if name == OPENING_ANSWER}
        cache = OutcomeCache(self.options.outcomes, key, versions)
        try:
            self.system.refuse_other_weights(
                cache.versions or {}, f"the outcomes in {cache.path} were", "name another folder with --outcomes"
            )
        except InputError:
            cache.close()
            raise
        return cache

    def tell_unread(self, questions: Sequence[Question], answers: Sequence[Sequence[str]]) -> None:
        """Warn where the loss cannot see what questions were answered, given their answers at every k."""
        pairs = zip(questions, answers, strict=True)
        rows = [(question.answer, given) for question, given in pairs if question.options is None]
        for sentence in unread(self.options.loss, [given for _, given in rows], [reference for reference, _ in rows]):
            _warn(sentence)

    def known_questions(self, judged: Sequence[Question]) -> list[Question]:
        """Answered questions that baselines may learn from; see `rag.known_questions`."""
        return known_questions(self.options.path, self.options.root, judged)

    def refuse_trained_on(self, questions: Sequence[Question]) -> dict[str, set[str]]:
        """Refuse questions about patients that the model was trained on; see `rag.outcomes.trained_on`."""
        return refuse_trained_on(questions, self.system.mllm.folders, self.system.view)

    def tell_trained_on(self, questions: Sequence[Question], split: str, spoilt: str) -> None:
        """Warn of questions about patients that the model was trained on; see `rag.outcomes.trained_on`."""
        tell_trained_on(questions, self.system.mllm.folders, self.system.view, split, spoilt)

    def other_patient_hashes(self, split: str) -> dict[str, set[str]]:
        """Hashes of the patients of other splits and of the index; see `rag.other_patient_hashes`."""
        return other_patient_hashes(self.options.path, split, self.system.index, self.options.root)

    def _key(self, alteration: dict[str, Any] | None) -> str:
        """Hash of everything that could change an outcome, besides the question itself."""
        loss = loss_fingerprint(self.options.loss or "tokens")
        parts = [OUTCOME_FIELDS, self.system.fingerprints, self.max_k, loss]
        return hash_json(parts if alteration is None else [*parts, alteration])


def _refuse_unreadable(questions: Sequence[Question], loss: Loss, path: Path) -> None:
    """Refuse reference answers that a loss cannot read, before any model is asked."""
    for question in questions:
        if question.options is None:
            try:
                loss("", question.answer)
            except InputError as error:
                raise InputError(f"{path}, question {question.id}: {error}") from error


def _warn(message: str) -> None:
    warnings.warn(message, TitrateWarning, stacklevel=3)
