"""What training costs in time and memory, beside TRL's own `DPOTrainer` on the same pairs.

    python -m benchmarks.train --out bench/train.json

Pairs are real questions of the prefer split after 2 to 4 reports of train cases of the same domain, with the right
answer preferred to a wrong one. Both answers of a pair are given to the same image, as TRL's trainer supports nothing
else. Every run is a process of its own with one thread, which trains a LoRA adapter without checkpoints; runs of the
two trainers alternate. Tokens are those of prompts and answers without padding, each counted once a step; the first
step is not timed. Time is processor time, which for one thread equals wall-clock time on an idle machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from indexing import load_image
from preference import PreferencePair, TrainingSettings
from preference.training.lora import keep_in_evaluation_mode, lora_config
from preference.training.rows import render_pair
from preference.training.train import make_trainer
from rag import PromptTemplate, TransformersMLLM, closed_questions, read_questions

SPEED, MEMORY, SEED = 0.95, 1.02, 0
"""What must be met: at least this share of the stock trainer's tokens a second, and at most this share of its memory,
with 2 % for the measurement's noise; and the seed of pairs and training."""
KINDS = ("stock", "ours")


@dataclass(frozen=True)
class Run:
    """Tokens a second, peak memory in MiB, and the last loss of one run."""

    speed: float
    memory: float
    loss: float


class Clock(TrainerCallback):
    """Notes the processor time at which each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After each step."""
        self.ends.append(time.process_time())


def main(samples: Path, mllm: str, pairs: int, steps: int, batch_size: int, repeats: int, out: Path) -> None:
    """Run both trainers in turns, print the figures, and write them to ``out`` too."""
    runs: dict[str, list[Run]] = {kind: [] for kind in KINDS}
    for repeat in range(repeats):
        for kind in KINDS if repeat % 2 == 0 else reversed(KINDS):
            words = [
                "--samples",
                samples,
                "--mllm",
                mllm,
                "--pairs",
                pairs,
                "--steps",
                steps,
                "--batch-size",
                batch_size,
            ]
            command = [sys.executable, "-m", "benchmarks.train", "--kind", kind, *map(str, words)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs[kind].append(Run(**json.loads(done.stdout.splitlines()[-1])))
            print(f"{kind:6s} {line(runs[kind][-1])}", flush=True)
    middle = {
        kind: Run(*(median(getattr(run, name) for run in some) for name in ("speed", "memory", "loss")))
        for kind, some in runs.items()
    }
    speed, memory = (getattr(middle["ours"], name) / getattr(middle["stock"], name) for name in ("speed", "memory"))
    met = "met" if speed >= SPEED and memory <= MEMORY else "MISSED"
    print(f"ours/stock, medians of {repeats}: tokens/s {speed:.2f} (at least {SPEED}), memory {memory:.2f} ({met})")
    out.parent.mkdir(parents=True, exist_ok=True)
    figures = {kind: [asdict(run) for run in some] for kind, some in runs.items()}
    out.write_text(json.dumps({"pairs": pairs, "steps": steps, **figures, "speed": speed, "memory": memory}, indent=1))


def line(run: Run) -> str:
    """The figures of a run, as a line of text."""
    return f"{run.speed:7.0f} tokens/s   {run.memory:6.0f} MiB   last loss {run.loss:.6f}"


def run_one(kind: str, samples: Path, mllm: str, pairs: int, steps: int, batch_size: int) -> Run:
    """Train once, in this process."""
    torch.set_num_threads(1)
    model = TransformersMLLM.open(mllm, device="cpu")
    settings = TrainingSettings(epochs=99, max_steps=steps, batch_size=batch_size, seed=SEED)
    chosen, tokens, clock = make_pairs(samples, pairs), list[int](), Clock()
    with tempfile.TemporaryDirectory() as folder:
        make = make_stock if kind == "stock" else make_ours
        trainer = make(model, chosen, settings, Path(folder))
        collate = trainer.data_collator

        def counted(examples: list[Any]) -> Any:
            batch = collate(examples)
            tokens.append(int(batch["attention_mask"].sum()))
            return batch

        trainer.data_collator = counted
        trainer.add_callback(clock)
        trainer.train()
    seconds = clock.ends[-1] - clock.ends[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Run(sum(tokens[1:steps]) / seconds, peak, losses[-1])


def make_ours(
    model: TransformersMLLM, pairs: Sequence[PreferencePair], settings: TrainingSettings, folder: Path
) -> DPOTrainer:
    """Set up Titrate's trainer."""
    trainer = make_trainer(model, [render_pair(pair, model) for pair in pairs], [], settings, folder)
    trainer.args.save_strategy = "no"
    return trainer


def make_stock(
    model: TransformersMLLM, pairs: Sequence[PreferencePair], settings: TrainingSettings, folder: Path
) -> DPOTrainer:
    """Set up TRL's trainer with the same texts, images and settings."""

    def load(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {**batch, "images": [[load_image(Path(image))] for image in batch["images"]]}

    rows = [render_pair(pair, model) for pair in pairs]
    texts = [
        {"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected, "images": str(row.pair.image)}
        for row in rows
    ]
    peft_config = lora_config(model.model)
    keep_in_evaluation_mode(model.model)
    arguments = DPOConfig(
        output_dir=str(folder),
        max_steps=settings.max_steps or -1,
        learning_rate=settings.rate,
        per_device_train_batch_size=settings.batch_size,
        seed=settings.seed,
        use_cpu=True,
        bf16=False,
        dataloader_pin_memory=False,
        gradient_checkpointing=False,
        max_length=None,
        remove_unused_columns=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return DPOTrainer(
        model=model.model,
        args=arguments,
        train_dataset=Dataset.from_list(texts).with_transform(load),
        processing_class=model.processor,
        peft_config=peft_config,
    )


def make_pairs(samples: Path, count: int) -> list[PreferencePair]:
    """Make so many pairs, with 2, 3 and 4 contexts in turn."""
    path, template, rng = samples / "questions.jsonl", PromptTemplate(), np.random.default_rng(SEED)
    with (samples / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record["split"] == "train"]
    asked = [q for q in closed_questions(read_questions(path, splits=["prefer"]), path) if len(q.options or ()) > 1]
    pairs = []
    for number, row in enumerate(rng.permutation(len(asked))[:count]):
        question, k = asked[row], 2 + number % 3
        reports = [record["report"] for record in records if record["domain"] == question.domain]
        pairs.append(
            PreferencePair(
                id=str(number),
                image=question.image,
                prompt=template.render(question.text, question.options, [str(one) for one in rng.choice(reports, k)]),
                chosen=question.answer,
                rejected=next(option for option in question.options or () if option != question.answer),
                k=k,
                patient=question.patient,
            )
        )
    return pairs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=Path("samples"))
    parser.add_argument("--mllm", default="samples/models/mllm")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, help="make one run in this process")
    parser.add_argument("--out", type=Path, default=Path("bench/train.json"))
    arguments = vars(parser.parse_args())
    made = arguments.pop("kind")
    if made is None:
        main(**arguments)
    else:
        del arguments["repeats"], arguments["out"]
        print(json.dumps(asdict(run_one(made, **arguments))))
