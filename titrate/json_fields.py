"""Reading a JSON object field by field, each checked for its type: somebody may have edited the file."""

from collections.abc import Iterable
from typing import Any

from titrate.errors import InputError
from titrate.text import unprintable

_HUGE = 1e300
_MOST_WHOLE = 2**53
"""More is not exact as a float, which is what other readers of JSON make of it."""


class JsonFields:
    """One JSON object whose fields are read by name and type.

    Parameters
    ----------
    value
        What the JSON held.
    where
        The file, and the place in it, for messages.
    names
        The fields that it must have; it may have no others.
    remedy
        What the reader of a message should do.

    Raises
    ------
    InputError
        From the constructor and every method: one line that says where, what, and the remedy.
    """

    def __init__(self, value: Any, where: str, names: Iterable[str], remedy: str) -> None:
        self.where, self.remedy = where, remedy
        if not isinstance(value, dict):
            raise self.error("expected an object")
        self.value: dict[str, Any] = value
        expected = set(names)
        for problem, keys in (("lacks", expected - value.keys()), ("has unknown", value.keys() - expected)):
            if keys:
                raise self.error(f"{problem} {', '.join(sorted(keys))}")

    def error(self, problem: str) -> InputError:
        """Return the error for a problem at this place."""
        return InputError(f"{self.where}: {problem}; {self.remedy}")

    def text(self, name: str) -> str:
        """Return a string that is not empty, in which every character shows."""
        return self._shown(name, self._text(name, self.value[name]))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings, which may be empty ones."""
        return tuple(self._text(name, item, empty=True) for item in self.items(name))

    def text_map(self, name: str) -> dict[str, str]:
        """Return an object whose values are non-empty strings."""
        return {
            key: self._shown(f"{name} {key}", self._text(f"{name} {key}", item))
            for key, item in self.object(name).items()
        }

    def object(self, name: str) -> dict[str, Any]:
        """Return an object, its values unchecked; in its names every character shows."""
        value = self.value[name]
        if not isinstance(value, dict):
            raise self.error(f"{name} is not an object")
        self._shown(f"a name in {name}", "".join(value))
        return value

    def integer(self, name: str, least: int) -> int:
        """Return a whole number of at least ``least``."""
        return self._integer(name, self.value[name], least)

    def flag(self, name: str) -> bool:
        """Return true or false."""
        if not isinstance(self.value[name], bool):
            raise self.error(f"{name} is neither true nor false")
        return bool(self.value[name])

    def fraction(self, name: str) -> float:
        """Return a number in [0, 1]."""
        return self._fraction(name, self.value[name])

    def integers(self, name: str, least: int) -> tuple[int, ...]:
        """Return a list of whole numbers of at least ``least``."""
        return tuple(self._integer(name, value, least) for value in self.items(name))

    def fractions(self, name: str) -> tuple[float, ...]:
        """Return a list of numbers in [0, 1]."""
        return tuple(self._fraction(name, item) for item in self.items(name))

    def number(self, name: str, least: float) -> float:
        """Return a finite number of at least ``least``."""
        return self._number(name, self.value[name], least)

    def numbers(self, name: str, least: float) -> tuple[float, ...]:
        """Return a list of finite numbers of at least ``least``."""
        return tuple(self._number(name, item, least) for item in self.items(name))

    def items(self, name: str) -> list[Any]:
        """Return a list, its items unchecked."""
        value = self.value[name]
        if not isinstance(value, list):
            raise self.error(f"{name} is not a list")
        return value

    def _text(self, name: str, value: Any, empty: bool = False) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise self.error(f"{name} is not text")
        return value

    def _shown(self, name: str, text: str) -> str:
        if hidden := unprintable(text):
            raise self.error(f"{name} holds {hidden}, a character that does not show")
        return text

    def _integer(self, name: str, value: Any, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_WHOLE:
            raise self.error(f"{name} is not a whole number of at least {least}, or too large")
        return value

    def _fraction(self, name: str, value: Any) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:  # NaN fails the comparison
            raise self.error(f"{name} is not a number in [0, 1]")
        return float(value)

    def _number(self, name: str, value: Any, least: float) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not -_HUGE < value < _HUGE or value < least:  # NaN fails the comparison
            raise self.error(f"{name} is not a finite number" + (f" of at least {least:g}" if least > -_HUGE else ""))
        return float(value)
