"""Preference pairs: an image, a prompt about it, the answer to prefer and the answer to avoid."""

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from indexing import ImageView, load_image
from preference.noise import Noise
from titrate import InputError

COPYING, UNDER_USE, OVER_RELIANCE, ANCHOR = "copying", "under-use", "over-reliance", "anchor"
UNSPECIFIED = "unspecified"
KINDS = (COPYING, UNDER_USE, OVER_RELIANCE, ANCHOR, UNSPECIFIED)
HELD_BACK = ("calibrate", "test")
"""Splits whose questions are never trained on: certificates and figures rest on them."""


@dataclass(frozen=True)
class PreferencePair:
    """One comparison to learn from.

    Attributes
    ----------
    id
        A name that no other pair of the same file has.
    image
        The image file.
    prompt
        The user's message, which follows the image: instructions, contexts, question. It has no chat template yet.
    chosen, rejected
        The answer to prefer and the answer to avoid; the same text only where the images differ.
    kind
        The fault that the pair teaches against (docs/methods.md, section 7): ``"copying"``, the answer with contexts
        was right although the image was noised; ``"under-use"``, it was wrong without contexts and right with them;
        ``"over-reliance"``, it was right without contexts and wrong with them. ``"anchor"`` is no fault: the answer
        without contexts was right, and the pair asks without contexts too. ``"unspecified"``: the file does not say.
    rejected_image
        The image file that the rejected answer was given to; None where it is the same as for the chosen answer.
    rejected_noise
        Noise on the image that the rejected answer was given to; None for no noise.
    weight
        How much the pair counts in the loss: above 0, and 1 for a pair like any other.
    k
        Number of contexts in the prompt; None where it is not known.
    question, domain, patient, study, split
        Where the pair was mined: the question's id, the domain that it was routed to, its patient, its study and its
        split. None where it is not known.

    Raises
    ------
    InputError
        If the kind is unknown, an answer is empty, both answers are the same text about the same image, the weight is
        not above 0, or the split is ``"calibrate"`` or ``"test"``.
    """

    id: str
    image: Path
    prompt: str
    chosen: str
    rejected: str
    kind: str = UNSPECIFIED
    rejected_image: Path | None = None
    rejected_noise: Noise | None = None
    weight: float = 1.0
    k: int | None = None
    question: str | None = None
    domain: str | None = None
    patient: str | None = None
    study: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind {self.kind!r} is unknown; it can be {', '.join(KINDS)}")
        for name in ("chosen", "rejected"):
            if not getattr(self, name).strip():
                raise InputError(f'"{name}" is empty; give an answer')
        if self.chosen.strip() == self.rejected.strip() and self.one_image:
            raise InputError(
                f"chosen and rejected are both {self.chosen.strip()!r}, given to one image; "
                "nothing can be learnt from that"
            )
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise InputError(f'"weight" is {self.weight}; give a number above 0')
        refuse_held_back(self.split, "it")

    @property
    def one_image(self) -> bool:
        """Whether both answers are given to the same image."""
        return self.rejected_noise is None and self.rejected_image in (None, self.image)

    def load_images(self, view: ImageView | None = None) -> tuple[Image.Image, Image.Image]:
        """Load the images, as RGB, that the chosen and the rejected answer are given to.

        Parameters
        ----------
        view
            How images are decoded; by default as the files say.

        Raises
        ------
        InputError
            If one cannot be read.
        """
        view = view or ImageView()
        chosen = load_image(self.image, view)
        rejected = chosen if self.rejected_image is None else load_image(self.rejected_image, view)
        return chosen, rejected if self.rejected_noise is None else self.rejected_noise.apply(rejected)


def refuse_held_back(split: str | None, what: str) -> None:
    """Make sure that nothing of a held-back split is trained on.

    Parameters
    ----------
    split
        The split; None where it is not known.
    what
        What is of that split, for the message.

    Raises
    ------
    InputError
        If the split is one of `HELD_BACK`.
    """
    if split in HELD_BACK:
        raise InputError(f"{what} is of the {split} split, which is never trained on; mine the prefer split")
