"""An answer as JSON, and as a page of text for a person."""

from textwrap import fill, indent
from typing import Any

from rag.answer import Answer

_WIDTH = 100


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
    lines = [f"Answer: {declined if answer.text is None else answer.text}"]
    if answer.probabilities is not None:
        lines.append(
            "        " + ", ".join(f"{option} {chance:.1%}" for option, chance in answer.probabilities.items())
        )
    where = f"{answer.domain} ({answer.domain_probability:.1%})"
    lines.append(f"Domain: {where if answer.in_domain else f'none of these; the likeliest is {where}'}")
    cut = sum(context.cut for context in answer.contexts)
    shortened = f"; {cut} of them cut, as … shows (see --max-report-tokens)" if cut else ""
    lines.append(f"Reports read: {answer.k}{shortened}")
    for context in answer.contexts:
        how = ", cut" if context.cut else ""
        lines.append(f"  [{context.number}] {context.record} (similarity {context.similarity:.3f}{how})")
        # Broken at spaces only, so that what is shown is what was read.
        lines.append(indent(fill(context.report, _WIDTH - 6, break_long_words=False, break_on_hyphens=False), "      "))
    lines.append(fill(answer.statement, _WIDTH))
    if with_prompt:
        lines += ["Prompt, after the image:", indent(answer.prompt, "  | ")]
    return "\n".join(lines)
