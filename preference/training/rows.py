"""Preference pairs as a model reads them; a pair that cannot be trained on is named before training begins."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from indexing import ImageView
from preference.pair_files import SkippedPair
from preference.pairs import PreferencePair
from rag import TransformersMLLM
from titrate import InputError

Size = tuple[int, int]
Skip = Callable[[SkippedPair], None]
_NONE_LEFT = "no preference pair can be trained on; see why each was left out"


@dataclass(frozen=True)
class TrainingRow:
    """A pair as the model reads it.

    Attributes
    ----------
    pair
        The pair itself.
    prompt
        The prompt in the model's chat template, as when a question is answered.
    chosen, rejected
        The answers as the chat template writes them, up to and including what ends them.
    """

    pair: PreferencePair
    prompt: str
    chosen: str
    rejected: str

    def identity(self) -> dict[str, Any]:
        """Everything that training reads of the pair, as JSON; images by their paths."""
        pair = self.pair
        noise = None if pair.rejected_noise is None else asdict(pair.rejected_noise)
        images = [str(pair.image), None if pair.rejected_image is None else str(pair.rejected_image), noise]
        return {"texts": [self.prompt, self.chosen, self.rejected], "images": images, "weight": pair.weight}


@dataclass(frozen=True)
class CheckedPair:
    """A pair whose images can be read.

    Attributes
    ----------
    pair
        The pair itself.
    chosen, rejected
        Width and height in pixels of the images that the two answers are given to.
    """

    pair: PreferencePair
    chosen: Size
    rejected: Size


def check_images(pairs: Sequence[PreferencePair], view: ImageView | None, skip: Skip | None) -> list[CheckedPair]:
    """Read every image once, so that one that cannot be read is found before training begins.

    Parameters
    ----------
    pairs
        At least one.
    view
        How images are decoded; None for as the files say.
    skip
        Called with each pair whose images cannot be read, which is then left out. Where it is None, the first such pair
        is an error.

    Raises
    ------
    InputError
        If an image cannot be read, or no pair is left.
    """
    if not pairs:
        raise InputError("there are no preference pairs to train on; make some with `titrate mine`")
    known: dict[Any, tuple[Size, Size]] = {}
    found = []
    for pair in pairs:
        key = (pair.image, pair.rejected_image, pair.rejected_noise)
        try:
            if key not in known:
                chosen, rejected = pair.load_images(view)
                known[key] = chosen.size, rejected.size
        except InputError as error:
            _leave_out(pair, error, skip)
        else:
            found.append(CheckedPair(pair, *known[key]))
    if not found:
        raise InputError(_NONE_LEFT)
    return found


def render_pairs(pairs: Sequence[CheckedPair], model: TransformersMLLM, skip: Skip | None) -> list[TrainingRow]:
    """Render pairs in the model's chat template, and make sure that the model can read every prompt and answer whole.

    Parameters
    ----------
    pairs
        Pairs whose images can be read.
    model
        The model that is to be trained.
    skip
        Called with each pair that the model cannot read whole, which is then left out. Where it is None, the first such
        pair is an error.

    Raises
    ------
    InputError
        If a prompt with an answer is too long for the model, an answer holds one of its special tokens, or no pair
        is left.
    """
    lengths, rows = _Lengths(model), []
    for found in pairs:
        try:
            row = render_pair(found.pair, model)
            lengths.check(row.prompt, row.pair.chosen, found.chosen)
            lengths.check(row.prompt, row.pair.rejected, found.rejected)
        except InputError as error:
            _leave_out(found.pair, error, skip)
        else:
            rows.append(row)
    if not rows:
        raise InputError(_NONE_LEFT)
    return rows


def render_pair(pair: PreferencePair, model: TransformersMLLM) -> TrainingRow:
    """Render one pair in the model's chat template.

    Parameters
    ----------
    pair
        The pair; its images are not read.
    model
        The model that is to be trained.

    Raises
    ------
    InputError
        If an answer holds a special token of the model.
    """
    for answer in (pair.chosen, pair.rejected):
        if model.without_special_tokens(answer) != answer:  # such as the placeholder of an image
            raise InputError(f"answer {answer!r} holds a special token of this model; word it otherwise")
    return TrainingRow(
        pair, model.render(pair.prompt), model.answer_text(pair.chosen), model.answer_text(pair.rejected)
    )


class _Lengths:
    """Counts the tokens of prompts with images, whose tokens depend on their size alone and not on their pixels."""

    def __init__(self, model: TransformersMLLM) -> None:
        self._model = model
        self._most: int = model.base.config.get_text_config().max_position_embeddings
        self._added: dict[Size, int] = {}

    def check(self, prompt: str, answer: str, size: Size) -> None:
        """Refuse a prompt that leaves no room for its answer; ``size`` is the image's width and height in pixels."""
        text = len(self._model.token_ids([prompt])[0])
        if size not in self._added:
            whole = self._model.inputs([prompt], [Image.new("RGB", size)])["input_ids"].shape[1]
            self._added[size] = whole - text
        length = text + self._added[size] + len(self._model.answer_ids(prompt, answer))
        if length > self._most:
            raise InputError(
                f"prompt and answer have {length} tokens, this model reads at most {self._most}, and the answer would "
                "be cut; mine with a smaller --max-k"
            )


def _leave_out(pair: PreferencePair, error: InputError, skip: Skip | None) -> None:
    if skip is None:
        raise InputError(f"pair {pair.id}: {error}") from error
    skip(SkippedPair(f"pair {pair.id}", str(error)))
