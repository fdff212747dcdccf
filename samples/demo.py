"""The demo: every command on the samples, in order, ending in one page that a newcomer understands."""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from textwrap import fill
from typing import Any

import click

from titrate import InputError, NothingCertifiedError, TitrateError

SAMPLES = Path(__file__).resolve().parent
ALPHA, DELTA, MAX_K = 0.35, 0.1, 4
EPOCHS, LEARNING_RATE = 3, 1e-3  # a model of 8 million parameters takes larger steps than the default
OPTIONS = "yes,no"

Command = Callable[[list[str]], int]


def run_demo(out: Path, command: Command) -> None:
    """Run the demo.

    Parameters
    ----------
    out
        Folder for the index, the certificate, the pairs and the adapter.
    command
        Runs one titrate command line, given without the program's name, and returns its exit code.

    Raises
    ------
    InputError
        If ``out`` is taken by something else, or the samples are not complete.
    """
    for needed in ("corpus.jsonl", "questions.jsonl", "models/encoder", "models/mllm"):
        if not (SAMPLES / needed).exists():
            raise InputError(f"{SAMPLES / needed} is not there; the demo needs a whole checkout")
    if out.exists() and any(out.iterdir()) and not (out / "index").exists():
        raise InputError(f"{out} is not empty and holds no demo; choose another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # nothing is fetched, and our own bars tell more
    _Demo(out, command).run()


class _Demo:
    def __init__(self, out: Path, command: Command) -> None:
        self.out, self._command, self._started = out, command, time.monotonic()
        self._models = ["--index", str(out / "index"), "--mllm", str(SAMPLES / "models/mllm")]
        asked = [str(SAMPLES / "questions.jsonl"), *self._models, "--max-k", str(MAX_K)]
        self._asked = [*asked, "--outcomes", str(out / "outcomes")]
        self._certificate = out / "certificate.json"

    def run(self) -> None:
        """All steps; each says what it does and shows the command that does it."""
        question = self._example()
        image = str(SAMPLES / question["image"])
        ask = ["ask", image, question["question"], *self._models, "--options", OPTIONS]
        ask += ["--patient", question["patient"], "--study", question["study"]]
        self._step(
            "Index",
            "537 images with reports, of the train split, become embeddings in one Qdrant collection per domain, and a "
            "classifier learns to tell the domains apart. A second run finds nothing to do.",
            ["index", str(SAMPLES / "corpus.jsonl"), "--index", str(self.out / "index"),
             "--encoder", f"local-dir:{SAMPLES / 'models/encoder'}"],
        )  # fmt: skip
        self._step(
            "Ask, without a guarantee",
            "The image decides the domain; the reports of the three most similar cases of other patients go into the "
            "prompt. Nobody has measured yet whether three is a good number.",
            [*ask, "--k", "3"],
        )
        certified = self._calibrate()
        self._step(
            "Evaluate",
            "The same on the test split, which nothing was chosen by: the model with every number of reports, the "
            "certified policy, and two baselines that need no model.",
            ["evaluate", *self._asked] + (["--certificate", str(self._certificate)] if certified else []),
        )
        self._step(
            "Ask the tuned model",
            "The adapter makes it another model, so the certificate no longer holds for it; it would have to be "
            "calibrated again.",
            [*ask, "--k", "3", "--adapter", str(self._prefer())],
        )
        policy = ["--certificate", str(self._certificate)] if certified else ["--k", "0"]
        self._page(question, [*ask, "--json", *policy])

    def _calibrate(self) -> bool:
        code = self._step(
            "Calibrate",
            f"Held-out questions are answered with 0 to {MAX_K} reports. Losses are averaged per patient and tested: "
            f"which numbers of reports keep the error at or under {ALPHA:.0%}, with {1 - DELTA:.0%} confidence? Other "
            "patients, of the prefer split, say beforehand where to look. The report shows the risks in pictures.",
            ["calibrate", *self._asked, "--alpha", str(ALPHA), "--delta", str(DELTA), "--prior", "prefer",
             "--out", str(self._certificate), "--report", str(self.out / "report.html")],
            accept=NothingCertifiedError.exit_code,
        )  # fmt: skip
        return code == 0

    def _prefer(self) -> Path:
        pairs, adapter = self.out / "pairs.jsonl", self.out / "adapter"
        self._step(
            "Mine",
            "On the prefer split: where was the model right alone and wrong with reports? Each such case becomes a "
            "preference pair, the right answer over the misled one.",
            ["mine", *self._asked, "--out", str(pairs)],
        )
        if not adapter.exists():
            self._step(
                "Train",
                "TRL's DPO turns the pairs into a small LoRA adapter that leans less on what was retrieved.",
                ["train", str(pairs), "--mllm", str(SAMPLES / "models/mllm"), "--root", str(SAMPLES),
                 "--out", str(adapter), "--epochs", str(EPOCHS), "--learning-rate", str(LEARNING_RATE)],
            )  # fmt: skip
        return adapter

    def _step(self, title: str, explanation: str, arguments: Sequence[str], accept: int = 0) -> int:
        """Run a command; its exit code is 0 or the one to accept, else the demo ends."""
        shown = " ".join(f"'{word}'" if " " in word else word for word in arguments)
        click.secho(f"\n== {title} ==", bold=True)
        click.echo(fill(explanation, 100))
        click.echo(f"$ titrate {shown}\n")
        code = self._command(list(arguments))
        if code not in (0, accept):
            raise TitrateError(f"the demo stopped at this command (exit code {code}); its message is above")
        click.echo(f"[{time.monotonic() - self._started:.0f} s so far]", err=True)
        return code

    def _example(self) -> dict[str, Any]:
        """The first closed question about pneumonia of the test split."""
        with (SAMPLES / "questions.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                question: dict[str, Any] = json.loads(line)
                if question["split"] == "test" and question["kind"] == "pneumonia":
                    return question
        raise InputError("the samples hold no test question about pneumonia; the demo needs a whole checkout")

    def _page(self, question: dict[str, Any], arguments: Sequence[str]) -> None:
        with redirect_stdout(StringIO()) as caught:
            self._command(list(arguments))
        answer = json.loads(caught.getvalue())
        chance = answer["probabilities"][answer["answer"]]
        count = answer["k"]
        lines = [
            f"Question   {question['question']}",
            f"Image      {SAMPLES / question['image']}",
            f"Answer     {answer['answer']} (the model gives it {chance:.0%}; the reference says {question['answer']})",
            f"Domain     {answer['domain']}: only cases of this kind were searched",
            "",
            f"It leaned on {count} report{'' if count == 1 else 's'} of similar images of other patients:"
            if count
            else "It leaned on no report: reading none served best here.",
        ]
        for context in answer["contexts"]:
            lines.append(f"  [{context['number']}] similarity {context['similarity']:.2f}: {context['report'][:160]}")
        if answer["certified"]:
            why = f"Why {count}: of the numbers from 0 to {MAX_K} that passed the test, it erred least in calibration."
        else:
            why = f"Why {count}: no number from 0 to {MAX_K} passed the test, so it was set by hand."
        lines += ["", fill(why, 100), fill(f"Certificate: {answer['statement']}", 100)]
        lines += ["", fill("The models are tiny and for research only. This is not a medical device.", 100)]
        click.secho("\n" + "=" * 100, bold=True)
        click.echo("\n".join(lines))
        click.secho("=" * 100, bold=True)
