"""Which questions a certificate covers: kinds that were calibrated, told by options and words."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from titrate import JsonFields

_FIELDS = ("options", "units", "words")


@dataclass(frozen=True)
class QuestionKind:
    """The calibration questions of one domain that have the same options.

    Attributes
    ----------
    options
        The options' keys (without case, needless spaces and full stop), sorted; None for open questions.
    units
        How many independent units had such a question.
    words
        Hash of each word of these questions, sorted: a certificate must not tell what stood in a question.
    """

    options: tuple[str, ...] | None
    units: int
    words: tuple[str, ...]

    @classmethod
    def collect(cls, asked: Iterable[tuple[str, str, Sequence[str] | None]]) -> "tuple[QuestionKind, ...]":
        """The kinds of questions, each given as its unit, its text, and its options' keys or None; open ones first."""
        units: dict[tuple[str, ...] | None, set[str]] = {}
        words: dict[tuple[str, ...] | None, set[str]] = {}
        for unit, text, options in asked:
            key = _options(options)
            units.setdefault(key, set()).add(unit)
            words.setdefault(key, set()).update(_words(text))
        ordered = sorted(units, key=lambda key: (key is not None, key or ()))
        return tuple(cls(key, len(units[key]), tuple(sorted(words[key]))) for key in ordered)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a certificate."""
        return {"options": self.options, "units": self.units, "words": self.words}

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
        return cls(options, read.integer("units", least=1), read.texts("words"))


def why_not_covered(kinds: Sequence[QuestionKind], text: str, options: Sequence[str] | None) -> str | None:
    """Why a question is of no kind that was calibrated; None if it is of one.

    It is of a kind if that has the same options, in whatever order, and every word of the question stood in some
    calibration question with these options. A new arrangement of known words is taken for the same kind.

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
    known = {word for kind in same for word in kind.words}
    asked = _words(text)
    if not asked or not asked <= known:
        return "the question is of another kind than those calibrated: words of it occur in none of them"
    return None


_UNKNOWN = "the certificate does not say which questions were calibrated"


def _options(options: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if options is None else tuple(sorted(options))


def _words(text: str) -> set[str]:
    """Hash of each word and number of a text, without case."""
    return {hashlib.sha256(word.encode()).hexdigest()[:16] for word in re.findall(r"\w+", text.casefold())}
