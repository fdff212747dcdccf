"""What tuning did."""

from dataclasses import dataclass
from pathlib import Path

from indexing.records import SkippedRecord
from indexing.tuning.recall import Recall


@dataclass(frozen=True)
class TuningResult:
    """What tuning did.

    Attributes
    ----------
    folder, fingerprint
        Of the encoder that was written.
    before, after
        Recall over the patients held out: of the untuned encoder, and of the one that was written. These patients
        chose the step, so that the second is a little too good; new patients tell.
    step
        After which the weights were kept; 0 for the untuned ones, where no later ones found more.
    losses
        Of each step.
    records, held_out
        Trained on, and held out.
    patients, held_out_patients
        Theirs; a record that names no patient counts as one.
    held_out_reports
        Different reports among those held out.
    other_split, skipped
        Records of other splits, and records that could not be used.
    problems
        The first of the latter.
    no_pictures
        How many of the skipped are no pictures of patients.
    long_reports
        Trained reports of which a random part is read at a time.
    """

    folder: Path
    fingerprint: str
    before: Recall
    after: Recall
    step: int
    losses: tuple[float, ...]
    records: int
    held_out: int
    patients: int
    held_out_patients: int
    held_out_reports: int
    other_split: int
    skipped: int
    problems: tuple[SkippedRecord, ...]
    no_pictures: int
    long_reports: int

    @property
    def improved(self) -> bool:
        """Whether tuned weights were kept."""
        return self.step > 0
