"""What an answer says about itself."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """A report that the model read.

    Attributes
    ----------
    number
        In the prompt, from 1.
    record
        Id of the record whose report it is.
    report
        The report as the model read it: on one line, and where it was too long, without what was left out.
    image
        The record's image.
    similarity
        To the query.
    cut
        Whether anything of the report was left out; " …" stands in its place.
    """

    number: int
    record: str
    report: str
    image: str
    similarity: float
    cut: bool


@dataclass(frozen=True)
class Answer:
    """What was answered and on what grounds.

    Attributes
    ----------
    text
        The answer: the likeliest option, or free text. None where the certified policy declines, because the model is
        less confident than it demands.
    probabilities
        Of each option, normalised over the options; None for free text.
    domain, domain_probability
        Where similar cases were looked for, and how sure the domain classifier is.
    in_domain
        False where the image looks like none of the index's domains, and so all of them were searched.
    contexts
        The reports that stood in the prompt, the most similar first: what the answer cites.
    certified
        Whether a certificate's promise covers this answer.
    statement
        The promise in one sentence, or why there is none.
    prompt
        The user's message, which followed the image.
    """

    text: str | None
    probabilities: Mapping[str, float] | None
    domain: str
    domain_probability: float
    in_domain: bool
    contexts: tuple[Context, ...]
    certified: bool
    statement: str
    prompt: str

    @property
    def k(self) -> int:
        """Number of reports that the model read."""
        return len(self.contexts)
