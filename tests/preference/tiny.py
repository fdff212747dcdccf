"""A tiny MLLM with random weights, of the shipped one's architecture, and hand-made outcomes on real sample images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import FastVlmConfig, FastVlmForConditionalGeneration

from calibration import OutcomeTable
from indexing import Match, Record
from preference import PreferencePair, mine_pairs
from rag import Outcomes, PromptTemplate, Question
from samples.build import architecture, tokenizer

OPTIONS = ("yes", "no")
WORDS = "yes no Options: Question: Is there an effusion? Report [0]: Answer the question about this medical image."


def make_mllm(folder: Path, seed: int = 0) -> Path:
    """Write a transformers folder: a small CNN, two layers of 32 dimensions, 400 tokens."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=tokenizer.SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([*OPTIONS, WORDS] * 50, trainer)
    shipped = architecture.new_model().config.to_dict()
    text = {
        **shipped["text_config"],
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "layer_types": None,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
    }
    torch.manual_seed(seed)
    model = FastVlmForConditionalGeneration(FastVlmConfig(**{**shipped, "text_config": text}))
    with torch.no_grad():
        # The fresh vocabulary is so short that no hidden state could tell its tokens apart by more than a nat.
        embeddings: Any = model.get_input_embeddings()
        embeddings.weight.mul_(10)
        for _ in range(10):  # settles the CNN's batch norms, without which all images look nearly the same
            model.model.vision_tower(torch.randn(8, 3, 64, 64))
    model.eval().save_pretrained(folder)
    architecture.new_processor(words).save_pretrained(folder)
    return folder


def sample_images(samples: Path, count: int) -> list[Path]:
    with (samples / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [samples / record["image"] for record in records if record["split"] == "prefer"][:count]


def make_question(number: int, answer: str, image: Path, *, patient: str, split: str | None = "prefer") -> Question:
    return Question(
        id=f"q{number}",
        image=image,
        text="Is there an effusion?",
        answer=answer,
        options=OPTIONS,
        patient=patient,
        study=None,
        domain=None,
        split=split,
        record=f"r{number}",
        kind="effusion",
    )


def make_outcomes(
    questions: Sequence[Question], right: Sequence[str], domains: Sequence[str], matches: int | None = None
) -> Outcomes:
    """Outcomes from one string a question, of ``+`` for right and ``-`` for wrong at k = 0, 1, …"""
    other = {"yes": "no", "no": "yes"}
    answers = [
        [question.answer if mark == "+" else other[question.answer] for mark in marks]
        for question, marks in zip(questions, right, strict=True)
    ]
    losses = np.array([[float(mark == "-") for mark in marks] for marks in right])
    limit = len(right[0]) - 1 if matches is None else matches
    found = tuple(
        Match(Record(f"near{n}", f"near{n}.png", f"Report of case {n}."), 0.9 - n / 100) for n in range(limit)
    )
    table = OutcomeTable(
        question_ids=[question.id for question in questions],
        units=[question.unit for question in questions],
        domains=list(domains),
        losses=losses,
        confidences=np.full(losses.shape, 0.5),
        answers=answers,
    )
    return Outcomes(table, tuple(questions), tuple(found for _ in questions), PromptTemplate())


def make_pairs(images: Sequence[Path]) -> list[PreferencePair]:
    """Four pairs on four images, with 1, 1, 2 and 3 contexts, that all prefer yes."""
    questions = [make_question(n, "yes", image, patient=f"p{n}") for n, image in enumerate(images)]
    outcomes = make_outcomes(questions, ["+-++", "+-++", "++-+", "+++-"], ["radiology"] * 4)
    return list(mine_pairs(outcomes, kinds=["over-reliance"], balance=False).pairs)
