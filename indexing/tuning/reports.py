"""Reports as the loss compares them, and the parts of long ones that a text tower has room for."""

import random
import re

from titrate import FULL_STOPS, folded

_PATIENT = re.compile(
    r"\b(?:an?\s+)?\d{1,3}[\s-](?:year|yr|month|week|day)s?[\s-]old\s+"
    r"(?:male|female|man|woman|boy|girl|gentleman|lady|patient|child|infant|newborn)\b",
    re.IGNORECASE,
)
"""Age and sex together: a number alone may be the age of a fracture, and "female" the pelvis that is shown."""
_SENTENCE = re.compile(rf"(?<=[{re.escape(FULL_STOPS)}?!؟])\s+|(?<=[。！？])|\n+")
"""Not at a colon or semicolon: "effusion: none" from there on would be another finding."""


def report_key(report: str) -> str:
    """What two reports have in common that say the same: all but spelling, and the age and sex of the patient.

    >>> report_key("A 45-year-old woman.  Clear lungs.") == report_key("An 8-year-old  BOY. Clear lungs.")
    True
    >>> report_key("A 3-week-old fracture.") == report_key("A 5-week-old fracture.")
    False
    """
    return folded(_PATIENT.sub("a patient", report))


def random_part(report: str, generator: random.Random) -> str:
    """A report that is longer than is read of it: half of the time its beginning, else from a random sentence on.

    Otherwise its end, where the impression often is, would never be read.

    Parameters
    ----------
    report
        The whole report; what does not fit is cut off by the tokeniser.
    generator
        Draws.
    """
    sentences = [sentence for sentence in _SENTENCE.split(report) if sentence.strip()]
    start = generator.randrange(2 * len(sentences) or 1)
    return report if start <= 0 or start >= len(sentences) else " ".join(sentences[start:])
