"""Which questions a certificate covers: those whose options and wording were calibrated."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from titrate import JsonFields

_FIELDS = ("options", "units", "wordings")


@dataclass(frozen=True)
class QuestionKind:
    """The calibration questions of one domain that have the same options.

    Attributes
    ----------
    options
        The options' keys (without case, needless spaces and full stop), sorted; None for open questions.
    units
        How many independent units had such a question.
    wordings
        Hash of the wording of each of these questions, sorted: a certificate need not tell what was asked. Of whole
        wordings, since those of single words would give away names to whoever guesses them.
    """

    options: tuple[str, ...] | None
    units: int
    wordings: tuple[str, ...]

    @classmethod
    def collect(cls, asked: Iterable[tuple[str, str, Sequence[str] | None]]) -> "tuple[QuestionKind, ...]":
        """The kinds of questions, each given as its unit, its text, and its options' keys or None; open ones first."""
        units: dict[tuple[str, ...] | None, set[str]] = {}
        wordings: dict[tuple[str, ...] | None, set[str]] = {}
        for unit, text, options in asked:
            key = _options(options)
            units.setdefault(key, set()).add(unit)
            wordings.setdefault(key, set()).add(_wording(text))
        ordered = sorted(units, key=lambda key: (key is not None, key or ()))
        return tuple(cls(key, len(units[key]), tuple(sorted(wordings[key]))) for key in ordered)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a certificate."""
        return {"options": self.options, "units": self.units, "wordings": self.wordings}

    @classmethod
    def from_json(cls, value: Any, where: str, remedy: str) -> "QuestionKind":
        """Read what `to_json` returned.

        Raises
        ------
        InputError
            If it is anything else.
        """
        read = JsonFields(value, where, _FIELDS, remedy)
        options = None if read.value["options"] is None else read.texts("options")
        return cls(options, read.integer("units", least=1), read.texts("wordings"))


def why_not_covered(kinds: Sequence[QuestionKind], text: str, options: Sequence[str] | None) -> str | None:
    """Why a question is of no kind that was calibrated; None if it is of one.

    It is of a kind if that has the same options, in whatever order, and the same was asked: letters without case,
    spaces and the marks at the end do not count, anything else does.

    Parameters
    ----------
    kinds
        Those of the question's domain.
    text, options
        The question, and its options' keys; None for an open one.
    """
    wanted = _options(options)
    same = [kind for kind in kinds if kind.options == wanted]
    if not same:
        if wanted is None:
            return "the certificate covers questions with options, not free text" if kinds else _UNKNOWN
        return "no question with these options was calibrated" if kinds else _UNKNOWN
    if any(_wording(text) in kind.wordings for kind in same):
        return None
    return "the question is of another kind than those calibrated: none of them is worded so"


_UNKNOWN = "the certificate does not say which questions were calibrated"


def _options(options: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if options is None else tuple(sorted(options))


def _wording(text: str) -> str:
    """Hash of a question's wording, however it is spaced and ends."""
    spaced = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(spaced.rstrip(" ?.!:;").encode()).hexdigest()
