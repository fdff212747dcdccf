"""The model card: a README beside the weights that says what they are and how they were trained."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from preference.pairs import PreferencePair
from preference.training.lora import ALPHA, RANK
from preference.training.result import Evaluation, TrainingResult
from preference.training.settings import TrainingSettings

CARD = "README.md"
_LAST, _MOST_ANSWERS = 10, 12
_LORA = f"rank {RANK}, alpha {ALPHA}, on the attention and MLP projections of the language model"
_KINDS = {
    "adapter": ("peft", "[lora, dpo, trl]", "# Preference adapter", f"A LoRA adapter ({_LORA}) for"),
    "model": ("transformers", "[dpo, trl]", "# Model trained on preferences", "A copy, all of its weights trained, of"),
    "merged model": (
        "transformers",
        "[lora, dpo, trl]",
        "# Model trained on preferences",
        f"A copy, with a LoRA adapter ({_LORA}) merged into its weights, of",
    ),
}


@dataclass(frozen=True)
class ModelCard:
    """What a model card says: the pairs, the model, the settings, the result, and what the weights are not for.

    Attributes
    ----------
    pairs
        All pairs, with those that were held out.
    mllm, fingerprint
        The model that training began with: its name or folder, and the hash of its files.
    settings
        How it was trained.
    result
        What training did.
    """

    pairs: Sequence[PreferencePair]
    mllm: str
    fingerprint: str
    settings: TrainingSettings
    result: TrainingResult

    def text(self, kind: str) -> str:
        """The card in Markdown, for an ``"adapter"``, a ``"model"`` or a ``"merged model"``."""
        library, tags, title, what = _KINDS[kind]
        lines = [
            *["---", f"library_name: {library}", f"tags: {tags}", "---", title, ""],
            f"{what} `{self.mllm}` (fingerprint `{self.fingerprint}`), trained by preferences to lean on the image and "
            "on what was retrieved as far as each deserves.",
            "",
            "It is another model now: a certificate made before no longer holds. Calibrate again.",
            "",
            "For research only. Not a medical device.",
            *["", "## Data", "", *self._data()],
            *[
                "",
                "## Settings",
                "",
                *(f"- {name}: {value}" for name, value in self.settings.describe().items()),
            ],
            *["", "## Result", "", *self._result()],
            "",
            "These say that the pairs were learnt, not that answers got better: run `titrate evaluate` for that.",
        ]
        return "\n".join(lines) + "\n"

    def _data(self) -> list[str]:
        counts = Counter((pair.kind, pair.domain or "unknown") for pair in self.pairs)
        ks = Counter(pair.k for pair in self.pairs if pair.k is not None)
        answers = Counter(pair.chosen for pair in self.pairs)
        weights = [pair.weight for pair in self.pairs]
        questions = {pair.question or (pair.image, pair.prompt) for pair in self.pairs}
        two_images = sum(not pair.one_image for pair in self.pairs)
        lines = [
            f"{len(self.pairs)} preference pairs from {len(questions)} questions of "
            f"{len({pair.patient or pair.image for pair in self.pairs})} patients, {self.result.held_out} of the pairs "
            "held out.",
            "",
            "| kind | domain | pairs |",
            "|---|---|---|",
            *(f"| {kind} | {_cell(domain)} | {count} |" for (kind, domain), count in sorted(counts.items())),
            "",
            f"- weights: {min(weights):.3g} to {max(weights):.3g}, on average {sum(weights) / len(weights):.3g}",
            f"- pairs whose rejected answer was given to another image: {two_images}",
        ]
        if ks:
            lines.append(
                "- pairs by number of contexts in the prompt: " + ", ".join(f"{k}: {ks[k]}" for k in sorted(ks))
            )
        if len(answers) <= _MOST_ANSWERS:
            counted = ", ".join(f"{_cell(answer)}: {count}" for answer, count in sorted(answers.items()))
            lines.append(f"- chosen answers: {counted}")
        return lines

    def _result(self) -> list[str]:
        losses, margins = self.result.losses, self.result.margins
        last = min(_LAST, len(losses))
        lines = [
            f"- steps: {len(losses)}; the weights are those after step {self.result.step}",
            f"- loss on the training pairs: {losses[0]:.4f} at the first step, "
            f"{sum(losses[-last:]) / last:.4f} over the last {last}",
            f"- reward margin on them: {margins[0]:.4f} at the first step, "
            f"{sum(margins[-last:]) / last:.4f} over the last {last}",
        ]
        kept = self.result.kept
        if kept is not None:
            lines += [
                f"- held-out pairs before training: {_describe(self.result.evaluations[0])}",
                f"- held-out pairs with these weights: {_describe(kept)}",
            ]
        if not self.result.improved:
            lines.append("- **the held-out loss never fell below what it was before training**")
        return lines


def _describe(evaluation: Evaluation) -> str:
    return (
        f"loss {evaluation.loss:.4f}, reward margin {evaluation.margin:.4f}, "
        f"{evaluation.accuracy:.0%} with a margin above 0"
    )


def _cell(text: str) -> str:
    """A text on one line and without column breaks, for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
