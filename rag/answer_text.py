"""An answer as JSON, and as a page of text for a person.

On the page nothing that others wrote can pose as a line of ours: a name or a report is on one line of its own, with
what does not show written as escapes, and the further lines of an answer or a prompt are indented.
"""

from textwrap import fill, indent
from typing import Any

from rag.answer import Answer
from titrate import printable

_WIDTH = 100
_LABEL = "Answer: "
_LONGEST_TEXT = 100_000


def answer_json(answer: Answer, *, with_prompt: bool) -> dict[str, Any]:
    """The answer's fields as JSON values."""
    value: dict[str, Any] = {
        "answer": answer.text,
        "probabilities": None if answer.probabilities is None else dict(answer.probabilities),
        "domain": answer.domain,
        "domain_probability": answer.domain_probability,
        "in_domain": answer.in_domain,
        "k": answer.k,
        "contexts": [vars(context) for context in answer.contexts],
        "certified": answer.certified,
        "statement": answer.statement,
    }
    return value | ({"prompt": answer.prompt} if with_prompt else {})


def answer_page(answer: Answer, *, with_prompt: bool) -> str:
    """The answer, what it leaned on, and how far it can be trusted."""
    declined = "none, as the model is less confident than its certificate demands"
    lines = [_LABEL + (declined if answer.text is None else _block(answer.text, " " * len(_LABEL)).lstrip())]
    if answer.probabilities is not None:
        lines.append(
            " " * len(_LABEL)
            + ", ".join(f"{printable(option)} {chance:.1%}" for option, chance in answer.probabilities.items())
        )
    where = f"{printable(answer.domain)} ({answer.domain_probability:.1%})"
    lines.append(f"Domain: {where if answer.in_domain else f'none of these; the likeliest is {where}'}")
    cut = sum(context.cut for context in answer.contexts)
    shortened = f"; {cut} of them cut, as … shows (see --max-report-tokens)" if cut else ""
    lines.append(f"Reports read: {answer.k}{shortened}")
    for context in answer.contexts:
        how = ", cut" if context.cut else ""
        name = printable(context.record)
        lines.append(f"  [{context.number}] {name} (similarity {context.similarity:.3f}{how})")
        # Broken at spaces only, so that what is shown is what was read.
        report = printable(context.report, longest=_LONGEST_TEXT)
        lines.append(indent(fill(report, _WIDTH - 6, break_long_words=False, break_on_hyphens=False), "      "))
    lines.append(fill(printable(answer.statement), _WIDTH))
    if with_prompt:
        lines += ["Prompt, after the image:", _block(answer.prompt, "  | ")]
    return "\n".join(lines)


def _block(text: str, before: str) -> str:
    """A text of several lines, each of which begins with the same."""
    shown = printable(text, lines=True, longest=_LONGEST_TEXT)
    return "\n".join(before + line for line in shown.split("\n"))
