"""The exception tree.

TitrateError                  exit code 1: anything else that is ours to report
├── InputError                exit code 2: the user's input, file or setting is at fault
│   └── OutOfDomainError  the image is none that the index could help with
├── NothingCertifiedError     exit code 3: calibration ended without a certified policy
└── NothingGainedError        exit code 3: tuning ended with the encoder that it began with

A message is one line, says what is wrong and what would mend it. Only the command line turns
these into exit codes; inside other applications they are ordinary exceptions.

What works, but not as the user may expect, is told with TitrateWarning; the command line shows it as one line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from titrate.text import one_line, shorten


class TitrateError(Exception):
    """Base of every error that Titrate raises on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(TitrateError):
    """A file, record, option or setting given by the user cannot be used."""

    exit_code: ClassVar[int] = 2


class OutOfDomainError(InputError):
    """An image looks like none of the index's domains."""


class NothingCertifiedError(TitrateError):
    """No policy could be certified at the wanted risk and confidence."""

    exit_code: ClassVar[int] = 3


class NothingGainedError(TitrateError):
    """Tuning found no weights that are better than those it began with."""

    exit_code: ClassVar[int] = 3


class TitrateWarning(RuntimeWarning):
    """Something works, but more slowly or less exactly than the user may expect."""


STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a program and is no fault; all other exceptions that are no Exception are panics of libraries in Rust."""

_LONGEST = 300


@contextmanager
def one_line_errors(problem: str, remedy: str, kind: type[TitrateError] = TitrateError) -> Iterator[None]:
    """Raise whatever a library raises inside as one line.

    Parameters
    ----------
    problem, remedy
        What could not be done, and what may mend it; the library's own words stand between.
    kind
        Of the error to raise.

    Raises
    ------
    TitrateError
        Of that kind, for any exception but ours and those that end the program. Libraries in Rust raise a
        BaseException when they panic.
    """
    try:
        yield
    except (TitrateError, *STOPS):
        raise
    except BaseException as error:
        said = shorten(one_line(error) or type(error).__name__, _LONGEST)
        raise kind(f"{problem}: {said}; {remedy}") from error
