"""The model card that stands beside an adapter's weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from preference.lora import ALPHA, RANK
from preference.pairs import PreferencePair

_LAST = 10


def model_card(
    pairs: Sequence[PreferencePair],
    mllm: str,
    fingerprint: str,
    settings: Mapping[str, Any],
    losses: Sequence[float],
    margins: Sequence[float],
) -> str:
    """Markdown that says what the adapter was trained on, how, with what result, and what it is not for.

    Parameters
    ----------
    pairs, settings
        What it was trained on, and how.
    mllm, fingerprint
        The model that it belongs to.
    losses, margins
        DPO loss and reward margin of each step.
    """
    counts = Counter((pair.kind, pair.domain, pair.chosen) for pair in pairs)
    table = [f"| {kind} | {domain} | {chosen} | {n} |" for (kind, domain, chosen), n in sorted(counts.items())]
    ks = Counter(pair.k for pair in pairs)
    last = min(_LAST, len(losses))
    lines = [
        "---",
        "library_name: peft",
        "tags: [lora, dpo, trl]",
        "---",
        "# Preference adapter",
        "",
        f"A LoRA adapter (rank {RANK}, alpha {ALPHA}) on the attention and MLP projections of the language model of "
        f"`{mllm}` (fingerprint `{fingerprint}`), trained by DPO to lean less on retrieved reports that mislead it.",
        "",
        "With it the model is another model: a certificate made without it no longer holds. Calibrate again.",
        "",
        "For research only. Not a medical device.",
        "",
        "## Data",
        "",
        f"{len(pairs)} preference pairs from {len({pair.question for pair in pairs})} questions "
        f"of {len({pair.patient or pair.image for pair in pairs})} patients.",
        "",
        "| kind | domain | chosen answer | pairs |",
        "|---|---|---|---|",
        *table,
        "",
        "Pairs by number of contexts in the prompt: " + ", ".join(f"{k}: {ks[k]}" for k in sorted(ks)) + ".",
        "",
        "## Settings",
        "",
        *(f"- {name}: {value}" for name, value in settings.items()),
        "",
        "## Result on the training pairs",
        "",
        f"- steps: {len(losses)}",
        f"- DPO loss: {losses[0]:.4f} at the first step, {sum(losses[-last:]) / last:.4f} over the last {last}",
        f"- reward margin: {margins[0]:.4f} at the first step, {sum(margins[-last:]) / last:.4f} over the last {last}",
        "",
        "These say that the pairs were learnt, not that answers got better: run `titrate evaluate` for that.",
    ]
    return "\n".join(lines) + "\n"
