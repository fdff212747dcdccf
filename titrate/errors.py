"""The exception tree.

TitrateError                  exit code 1: anything else that is ours to report
├── InputError                exit code 2: the user's input, file or setting is at fault
│   └── OutOfDomainError  the image is none that the index could help with
└── NothingCertifiedError     exit code 3: calibration ended without a certified policy

A message is one line, says what is wrong and what would mend it. Only the command line turns
these into exit codes; inside other applications they are ordinary exceptions.

What works, but not as the user may expect, is told with TitrateWarning; the command line shows it as one line.
"""

from typing import ClassVar


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


class TitrateWarning(RuntimeWarning):
    """Something works, but more slowly or less exactly than the user may expect."""
