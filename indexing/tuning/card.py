"""The card beside a tuned encoder: what it is, what it learnt from, and what it is not for. It names nobody."""

from indexing.encoder_files import local_encoder
from indexing.tuning.adapters import ALPHA, RANK
from indexing.tuning.result import TuningResult
from indexing.tuning.settings import TuningSettings

CARD = "README.md"


def card(result: TuningResult, base: str, base_fingerprint: str, settings: TuningSettings) -> str:
    """The card in Markdown.

    Parameters
    ----------
    result
        What tuning did.
    base, base_fingerprint
        The encoder that was tuned, as `Encoder.open` takes it, and its fingerprint. Of a folder only the name is told.
    settings
        How it was tuned.
    """
    folder = local_encoder(base)
    named = f"hub model or release `{base}`" if folder is None else f"encoder in a folder called `{folder.name}`"
    how = "all of its weights" if settings.full else f"low-rank adapters (rank {RANK}, alpha {ALPHA}), merged"
    lines = [
        *["---", "library_name: open_clip", "tags: [clip, medical, fine-tuned]", "---", "# Tuned encoder", ""],
        f"The {named} (fingerprint `{base_fingerprint}`), trained further on an archive's own pairs of image and "
        f"report with a contrastive loss, in which equal reports are no negatives of each other: {how}.",
        "",
    ]
    if result.improved:
        lines += ["It is another encoder now: an index or a certificate made with the old one does not fit it."]
    else:
        lines += ["**Tuning did not help: no step found more of the held-out reports, and these are the old weights.**"]
    return "\n".join(
        [
            *lines,
            *["", "## Not for", ""],
            "- Medical decisions. For research only, not a medical device.",
            "- Judging itself: patients of the archive's train split, held out or not, took part in its making. "
            "Measure on others.",
            "- Archives of other kinds: what it learnt here may have cost it elsewhere; the untuned one may be better.",
            "- Giving away where the archive may not be: weights can give away what they were trained on.",
            "- More than the licence of the encoder that was tuned allows.",
            *["", "## Data", ""],
            f"- trained on {result.records} records of {result.patients} patients, split `train` or none named",
            f"- held out of them: {result.held_out} records of {result.held_out_patients} patients, with "
            f"{result.held_out_reports} different reports",
            f"- left out: {result.other_split} of other splits, {result.skipped} that could not be used",
            f"- longer than is read of them, and read in random parts: {result.long_reports} reports",
            *["", "## Settings", ""],
            *(f"- {name}: {value}" for name, value in settings.describe().items()),
            *["", "## Result", ""],
            "Share of held-out images whose own report is among the k nearest; reports that say the same count as one.",
            "",
            "| | " + " | ".join(f"recall@{k}" for k in result.before.at) + " |",
            "|---" * (1 + len(result.before.at)) + "|",
            "| before | " + " | ".join(f"{share:.3f}" for share in result.before.at.values()) + " |",
            "| after | " + " | ".join(f"{share:.3f}" for share in result.after.at.values()) + " |",
            "",
            f"The weights are those after step {result.step} of {len(result.losses)} done. The held-out patients chose "
            "it, so that the second row is a little too good.",
            "",
        ]
    )
