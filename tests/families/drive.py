"""A small model of a family, driven through Titrate and compared with its processor and its forward pass alone.

Shapes: t tokens of prompt and answer, v in the vocabulary.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from preference import PreferencePair, TrainingSettings, train_adapter
from rag import MLLM, LoadingOptions, NestedPrompt, Prompt, TransformersMLLM
from titrate import InputError, TitrateWarning

QUESTION = "Is there an effusion?"
REPORTS = ("Report [1]: Clear lungs.\n", "Report [2]: Large heart, a small effusion on the left.\n")
OPTIONS = ("yes", "no", "no change", "small left pleural effusion")
LETTERS = ("A", "B", "C", "D", "E")
CLOSE = 2e-3
"""Nats between two ways to score in float32."""
CLOSE_IN_HALF = 1.0
"""The same in bfloat16: random weights magnify its rounding, by which InternVL's scores move 0.2 where padding does."""
HALF = "bfloat16: "
BETA = 0.1
WRITTEN = 6
"""Tokens to generate."""


def pictures() -> list[Image.Image]:
    """Images of unlike sizes and modes: 97 × 64, a single pixel, a strip of 8 × 2000, greyscale."""
    random = np.random.default_rng(3)
    image = Image.fromarray(random.integers(0, 256, (64, 97, 3), dtype=np.uint8))
    strip = Image.fromarray(random.integers(0, 256, (2000, 8, 3), dtype=np.uint8))
    return [image, image.resize((1, 1)), strip, image.convert("L")]


def converse(mllm: TransformersMLLM, text: str, answer: str | None = None) -> str:
    """A question, and an answer to it, as the model's own chat template writes them."""
    said: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    if answer is not None:
        said.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    rendered: str = mllm.processor.apply_chat_template(
        said, tokenize=False, add_generation_prompt=answer is None, enable_thinking=False
    )
    return rendered


def _prompt_alone(mllm: TransformersMLLM, text: str, image: Image.Image) -> dict[str, torch.Tensor]:
    """What a processor makes of text and image, in the model's number format."""
    bos = mllm.processor.tokenizer.bos_token
    read = mllm.processor(
        text=[text],
        images=[[image.convert("RGB")]],
        add_special_tokens=not (bos and text.startswith(bos)),
        return_tensors="pt",
    )
    return {name: value.to(mllm.model.dtype) if value.is_floating_point() else value for name, value in read.items()}


def _asked(mllm: TransformersMLLM, prompt: Prompt) -> str:
    """What is read before an answer."""
    if mllm.turn.thinks:  # tests/rag/models/test_thinking.py writes the thoughts by hand
        return mllm.texts([prompt])[0]
    return converse(mllm, prompt.text)


@torch.inference_mode()
def by_hand(mllm: TransformersMLLM, prompt: Prompt, options: tuple[str, ...]) -> NDArray[np.float64]:
    """Log-probability of each option as the template writes it, each read whole by processor and model alone.

    Where an option begins another, the answer's end is scored too, as the template writes it.
    """
    asked, found = _asked(mllm, prompt), list[float]()
    ended = any(a != b and b.startswith(a) for a in options for b in options)
    for option in options:
        whole = converse(mllm, prompt.text, option)
        # Some templates begin a model's turn otherwise when it has been said already.
        told = whole.startswith(asked)
        whole = whole[: whole.index(option, len(asked)) + len(option)] if told else asked + option
        whole += mllm.turn.end if ended else ""
        read, before = (_prompt_alone(mllm, text, prompt.image) for text in (whole, asked))
        ids, start = read["input_ids"][0], before["input_ids"].shape[1]
        assert ids[:start].tolist() == before["input_ids"][0].tolist(), "the prompt's tokens are the answer's beginning"
        table = torch.log_softmax(mllm.model(**read).logits[0].double(), -1)  # [t, v]
        found.append(float(table[torch.arange(start - 1, len(ids) - 1), ids[start:]].sum()))
    return np.array(found)


@dataclass(frozen=True)
class Verdict:
    """What became of a family.

    Parameters
    ----------
    opened
        ``"right"``, or the line that refuses it.
    told
        What a warning said when it was opened or first scored nested.
    unread
        Of images that it cannot read, the line that refuses each.
    apart
        The largest difference from the oracle, in nats, by what was compared; or the line that refuses it.
    """

    opened: str
    told: tuple[str, ...]
    unread: tuple[str, ...]
    apart: dict[str, float | str]

    @property
    def wrong(self) -> list[str]:
        """What was neither right nor refused."""
        return [
            f"{what}: {by:.3g}"
            for what, by in self.apart.items()
            if not isinstance(by, str) and not by <= (CLOSE_IN_HALF if what.startswith(HALF) else CLOSE)
        ]


def drive(folder: Path, scratch: Path, *, train: bool = True, half: bool = False) -> Verdict:
    """Score, nest, generate and train the model in a folder.

    Parameters
    ----------
    folder
        The model's.
    scratch
        Where adapters are written.
    train
        Whether to take DPO steps too, which takes most of the time. Of a model that thinks they are not driven.
    half
        Whether to score in bfloat16 too.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TitrateWarning)
        try:
            mllm = TransformersMLLM.open(str(folder), device="cpu", loading=LoadingOptions(thought_tokens=8))
        except InputError as error:
            return Verdict(_short(error, folder), (), (), {})
        images, unread = _readable(mllm, folder)
        apart: dict[str, float | str] = {}
        for what, measure in {"score": _score, "letters": _letters, "nested": _nested, "generate": _generate}.items():
            apart[what] = _measured(lambda measure=measure: measure(mllm, images), folder)
        if half:
            mllm = TransformersMLLM.open(
                str(folder), device="cpu", dtype="bfloat16", loading=LoadingOptions(thought_tokens=8)
            )
            for what, measure in {"score": _score, "nested": _nested_or_not}.items():
                apart[HALF + what] = _measured(lambda measure=measure: measure(mllm, images), folder)
        if train and not mllm.turn.thinks:
            apart["train"] = _measured(lambda: _train(folder, scratch), folder)
    told = [_short(note.message, folder) for note in caught if isinstance(note.message, TitrateWarning)]
    return Verdict("right", tuple(dict.fromkeys(told)), unread, apart)


def _readable(mllm: TransformersMLLM, folder: Path) -> tuple[list[Image.Image], tuple[str, ...]]:
    """The images that the model reads, and the line that refuses each other one."""
    read, refused = [], []
    for image in pictures():
        try:
            mllm.score([Prompt(image, QUESTION)], [OPTIONS])
            read.append(image)
        except InputError as error:
            refused.append(f"{image.width} x {image.height}: {_short(error, folder)}")
    return read, tuple(refused)


def _measured(measure: Any, folder: Path) -> float | str:
    try:
        return float(measure())
    except InputError as error:
        return _short(error, folder)


def _short(message: Any, folder: Path) -> str:
    return str(message).replace(str(folder), "MODEL")


def _apart(found: Any, expected: Any) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))


def _score(mllm: TransformersMLLM, images: list[Image.Image]) -> float:
    """In one batch: images of unlike sizes, prompts of unlike length."""
    asked = [Prompt(image, "".join(REPORTS[: n % 3]) + QUESTION) for n, image in enumerate(images)]
    return _apart(mllm.score(asked, [OPTIONS] * len(asked)), [by_hand(mllm, each, OPTIONS) for each in asked])


def _letters(mllm: TransformersMLLM, images: list[Image.Image]) -> float:
    asked = [Prompt(image, QUESTION) for image in images[:2]]
    return _apart(mllm.score(asked, [LETTERS] * len(asked)), [by_hand(mllm, each, LETTERS) for each in asked])


def _nested(mllm: TransformersMLLM, images: list[Image.Image]) -> float:
    """Every k in one pass, beside each k by hand; two questions about an image."""
    prompts = [NestedPrompt(image, "", REPORTS, (QUESTION, "Is the heart large?")) for image in images[::2]]
    found = mllm.score_nested(prompts, [[OPTIONS, LETTERS]] * len(prompts), (0, 1, 2))
    return max(
        _apart(table, [by_hand(mllm, prompt.at(question, k), (OPTIONS, LETTERS)[question]) for k in range(3)])
        for prompt, tables in zip(prompts, found, strict=True)
        for question, table in enumerate(tables)
    )


def _nested_or_not(mllm: TransformersMLLM, images: list[Image.Image]) -> float:
    """Every k in one pass, beside each k on its own in the same number format."""
    prompts = [NestedPrompt(image, "", REPORTS, (QUESTION, "Is the heart large?")) for image in images[::2]]
    asked = prompts, [[OPTIONS, LETTERS]] * len(prompts), (0, 1, 2)
    alone = MLLM.score_nested(mllm, *asked)
    return max(_apart(some, others) for some, others in zip(mllm.score_nested(*asked), alone, strict=True))


@torch.inference_mode()
def _generate(mllm: TransformersMLLM, images: list[Image.Image]) -> float:
    """0 where prompts that share a batch are answered as each by itself, and by the likeliest tokens, else 1."""
    asked = [Prompt(image, QUESTION + " Why?" * n) for n, image in enumerate(images[:2])]
    together = mllm.generate(asked, max_new_tokens=WRITTEN)
    singly = [mllm.generate([each], max_new_tokens=WRITTEN)[0] for each in asked]
    expected = [likeliest(mllm, each) for each in asked]
    agree = all(
        text == found if whole else text.startswith(found)
        for text, (found, whole) in zip(singly, expected, strict=True)
    )
    return float(together != singly or not agree)


@torch.inference_mode()
def likeliest(mllm: TransformersMLLM, prompt: Prompt) -> tuple[str, bool]:
    """The likeliest token after another, each found by the forward pass alone over everything before it.

    False beside it if it is cut: where random weights write an image's own token, a pass over everything would take
    that for a part of the image (Ovis 2).
    """
    special = set(mllm.processor.tokenizer.added_tokens_decoder)
    read = _prompt_alone(mllm, _asked(mllm, prompt), prompt.image)
    written: list[int] = []
    while len(written) < WRITTEN and not set(written) & special:
        shape = read["input_ids"].shape
        written.append(int(mllm.model(**read).logits[0, -1].argmax()))
        more = {"input_ids": written[-1], "attention_mask": 1}
        for name, value in read.items():
            if value.shape == shape:  # what runs along the tokens
                read[name] = torch.cat([value, torch.full((1, 1), more.get(name, 0), dtype=value.dtype)], 1)
            elif name == "cross_attention_mask":  # what is written sees of the image what the prompt does
                read[name] = torch.cat([value, value[:, -1:]], 1)
    text: str = mllm.processor.tokenizer.decode(written, skip_special_tokens=True)
    return text.strip(), not set(written[:-1]) & special and (written[-1] not in special or written[-1] in mllm.ends)


def _train(folder: Path, scratch: Path) -> float:
    """How far the trainer's own margin of a held-out pair is from what `score` says, and the merged model's score.

    "no" begins "no change", so that `score` reads the end of the answer as training does.
    """
    image = scratch / "image.png"
    pictures()[0].save(image)
    pairs = [PreferencePair(str(n), image, QUESTION, "no change", "no", patient=str(n)) for n in range(2)]
    settings = TrainingSettings(max_steps=3, hold_out=0.5, learning_rate=1e-2, batch_size=1, beta=BETA)
    out, merged = scratch / "adapter", scratch / "merged"
    before = TransformersMLLM.open(str(folder), device="cpu")
    result = train_adapter(pairs, str(folder), out, settings, device="cpu", merge=merged)
    prompt, options = Prompt(pictures()[0], QUESTION), ("no", "no change")
    after = TransformersMLLM.open(str(folder), adapter=out, device="cpu")
    whole = TransformersMLLM.open(str(merged), device="cpu")
    scores = [by_hand(model, prompt, options) for model in (before, after)]
    margins = [float(found[1] - found[0]) for found in scores]
    assert result.kept is not None and margins[1] > margins[0], "what is trained to be likelier is likelier"
    told = abs(result.kept.margin / BETA - (margins[1] - margins[0]))
    read, again = (model.score([prompt], [options]) for model in (after, whole))
    return max(told, _apart(read, [by_hand(after, prompt, options)]), _apart(again, read))
