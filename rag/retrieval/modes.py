"""Ways to find similar cases, and the constants that decide with an index and an encoder what is found."""

from typing import Literal, get_args

from indexing import SAME_PICTURE
from titrate import InputError, hash_json

RetrievalMode = Literal["image-image", "image-report", "question-report", "fusion"]
"""What is compared: the image with indexed images or with their reports, the question with reports, or all of these,
joined by reciprocal rank."""

MODES: tuple[RetrievalMode, ...] = get_args(RetrievalMode)
DEFAULT_MODE: RetrievalMode = "image-image"
"""Best on the `prefer` split with the shipped encoder: mean nDCG@10 over domains 0.617 (0.600 to 0.633), fusion 0.582,
image-report 0.543, question-report 0.352, random records 0.340. See `rag.evaluation.retrieval`."""

SAME_IMAGE = 1 - 1e-4
"""From this cosine on, the match counts as the query's own image.

With the shipped encoder that holds for 93 % of images saved anew as JPEG of quality 95, for 33 to 88 % at lower quality
or three quarters of the size, for hardly any at half of it. It also holds for the nearest image of another patient in
4 of 1,088 `prefer` images, 2 of them true copies. At 0.999 these would be 315, half of the fundus images among them.
Copies that the embedding misses are found by `indexing.perceptual_hash`, but for crops: name the patient where it is
known.
"""

FUSED_DEPTH = 50
"""Length of the rankings that are fused, whatever the limit: so the first k of K are the first k of any K."""

RANK_CONSTANT = 60
"""Of reciprocal-rank fusion: its authors' own value; it keeps the first rank of a single list from deciding alone."""


def check_mode(mode: str) -> None:
    """Refuse a mode that does not exist.

    Raises
    ------
    InputError
        Naming those that do.
    """
    if mode not in MODES:
        raise InputError(f"no retrieval mode {mode!r}; there are {', '.join(MODES)}")


def retrieval_fingerprint(mode: RetrievalMode) -> str:
    """SHA-256 of the mode and its constants, which decide with the index and the encoder what is retrieved."""
    fused = {"depth": FUSED_DEPTH, "constant": RANK_CONSTANT} if mode == "fusion" else None
    same = {"cosine": SAME_IMAGE, "bits": SAME_PICTURE}
    return hash_json({"mode": mode, "same_image": same, "fusion": fused, "distinct": "study and report"})
