"""The demo: runs every command on the samples in turn, and ends with one answer explained on one page."""

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

from rag import CERTIFIED_POLICY, Predictions
from titrate import InputError, NothingCertifiedError, TitrateError, read_jsonl

SAMPLES = Path(__file__).resolve().parent
ALPHA, DELTA, MAX_K = 0.4, 0.1, 4
STEPS = 12  # so that training takes no longer where more pairs are found
LEARNING_RATE = 1e-3  # the default is for large models; one of 8 million parameters needs larger steps
OPTIONS = "yes,no"

Command = Callable[[list[str]], int]


def run_demo(out: Path, command: Command) -> None:
    """Run the demo.

    Parameters
    ----------
    out
        Folder for everything that the demo makes: the index, the certificate, the report, the preference pairs and the
        adapter.
    command
        Runs one titrate command line, given without the program's name, and returns its exit code.

    Raises
    ------
    InputError
        If ``out`` is not empty and not the folder of an earlier demo, or the samples are not complete.
    TitrateError
        If one of the commands fails.
    """
    for needed in ("corpus.jsonl", "questions.jsonl", "models/encoder", "models/mllm"):
        if not (SAMPLES / needed).exists():
            raise InputError(f"{SAMPLES / needed} is not there; the demo needs a whole checkout")
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = any(out.iterdir()) and not (out / "index").exists()
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}; choose another folder with --out") from error
    if taken:
        raise InputError(f"{out} is not empty and holds no demo; choose another folder with --out")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # nothing is downloaded, and titrate has progress bars of its own
    _Demo(out, command).run()


class _Demo:
    def __init__(self, out: Path, command: Command) -> None:
        self.out, self._command, self._started = out, command, time.monotonic()
        self._models = ["--index", str(out / "index"), "--mllm", str(SAMPLES / "models/mllm")]
        asked = [str(SAMPLES / "questions.jsonl"), *self._models, "--max-k", str(MAX_K)]
        self._asked = [*asked, "--outcomes", str(out / "outcomes")]
        self._certificate, self._predictions = out / "certificate.json", out / "predictions.jsonl"

    def run(self) -> None:
        """Run all steps; each is explained first, and the command that does it is shown."""
        questions = self._questions()
        ask = self._ask(next(q for q in questions.values() if q["split"] == "test" and q["kind"] == "pneumonia"))
        self._step(
            "Index",
            "537 images with reports, of the train split, are embedded into one Qdrant collection per domain, and a "
            "classifier learns to tell the domains apart. If the demo is run again, the index is found finished.",
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
            "The same on the test split, which took no part in any choice so far: the model with every number of "
            "reports, the certified policy, and baselines that need no model.",
            ["evaluate", *self._asked, "--predictions", str(self._predictions)]
            + (["--certificate", str(self._certificate)] if certified else []),
        )
        self._step(
            "Ask the tuned model",
            "With the adapter the model is another one, for which the certificate does not hold; it would have to be "
            "calibrated again.",
            [*ask, "--k", "3", "--adapter", str(self._prefer())],
        )
        if certified:
            self._page(*self._helped(questions))
        else:
            self._end(
                [f"No number of reports from 0 to {MAX_K} passed the test: there is no certified answer to show."]
            )

    def _calibrate(self) -> bool:
        code = self._step(
            "Calibrate",
            f"Held-out questions are answered with 0 to {MAX_K} reports. Losses are averaged per patient and tested: "
            f"which numbers of reports keep the error at or under {ALPHA:.0%}, with {1 - DELTA:.0%} confidence? Other "
            "patients, of the prefer split, show beforehand which numbers to test first. The report plots the risks.",
            ["calibrate", *self._asked, "--alpha", str(ALPHA), "--delta", str(DELTA), "--prior", "prefer",
             "--out", str(self._certificate), "--report", str(self.out / "report.html")],
            accept=NothingCertifiedError.exit_code,
        )  # fmt: skip
        return code == 0

    def _prefer(self) -> Path:
        pairs, adapter = self.out / "pairs.jsonl", self.out / "adapter"
        self._step(
            "Mine",
            "On the prefer split: which questions did the model answer rightly without reports and wrongly with them? "
            "Each becomes a preference pair, which prefers the right answer to the wrong one. Further pairs, without "
            "reports, keep right what is right without them.",
            ["mine", *self._asked, "--out", str(pairs)],
        )
        if not adapter.exists():
            self._step(
                "Train",
                "TRL's DPO turns the pairs into a small LoRA adapter that leans less on what was retrieved.",
                ["train", str(pairs), "--mllm", str(SAMPLES / "models/mllm"), "--root", str(SAMPLES),
                 "--out", str(adapter), "--max-steps", str(STEPS), "--patience", str(STEPS),
                 "--learning-rate", str(LEARNING_RATE)],
            )  # fmt: skip
        return adapter

    def _step(self, title: str, explanation: str, arguments: Sequence[str], accept: int = 0) -> int:
        """Explain a command, show it and run it; returns its exit code.

        Parameters
        ----------
        title, explanation
            What is printed before the command.
        arguments
            The command line without the program's name.
        accept
            An exit code besides 0 with which the demo goes on.

        Raises
        ------
        TitrateError
            If the command ends with any other exit code.
        """
        shown = " ".join(f"'{word}'" if " " in word else word for word in arguments)
        click.secho(f"\n== {title} ==", bold=True)
        click.echo(fill(explanation, 100))
        click.echo(f"$ titrate {shown}\n")
        code = self._command(list(arguments))
        if code not in (0, accept):
            raise TitrateError(f"the demo stopped at this command (exit code {code}); its message is above")
        click.echo(f"[{time.monotonic() - self._started:.0f} s so far]", err=True)
        return code

    def _questions(self) -> dict[str, dict[str, Any]]:
        """The samples' questions, by id."""
        return {str(line["id"]): line for _, line in read_jsonl(SAMPLES / "questions.jsonl")}

    def _ask(self, question: dict[str, Any]) -> list[str]:
        """The command line that asks a question."""
        ask = ["ask", str(SAMPLES / question["image"]), question["question"], *self._models, "--options", OPTIONS]
        return [*ask, "--patient", question["patient"], "--study", question["study"]]

    def _helped(self, questions: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], str, str]:
        """A question that was wrong alone and is right as certified, else any; what is to be said of it, and how often.

        The first of them is taken, of the radiographs if there is one, as every reader can picture those.
        """
        rows = [row for row in Predictions.load(self._predictions).rows if row.policies[CERTIFIED_POLICY] is not None]
        alone = [row.answers[0] == row.reference for row in rows]
        read = [row.policies[CERTIFIED_POLICY] == row.reference for row in rows]
        better = [row for row, first, then in zip(rows, alone, read, strict=True) if then and not first]
        worse = sum(first and not then for first, then in zip(alone, read, strict=True))
        told = (
            f"Of the {len(rows)} test questions of certified domains, the model is right on {sum(alone)} alone, and on "
            f"{sum(read)} with the certified number of reports: {len(better)} go from wrong to right, {worse} from "
            "right to wrong."
        )
        if not better:
            return questions[rows[0].id], f"{rows[0].answers[0]}; reports made no wrong answer right", told
        shown = next((row for row in better if row.domain == "radiology"), better[0])
        return questions[shown.id], f"{shown.answers[0]}, which is wrong", told

    def _page(self, question: dict[str, Any], alone: str, told: str) -> None:
        with redirect_stdout(StringIO()) as caught:
            self._command([*self._ask(question), "--json", "--certificate", str(self._certificate)])
        answer = json.loads(caught.getvalue())
        count = answer["k"]
        chance = answer["probabilities"][answer["answer"]]
        lines = [
            f"Question   {question['question']}",
            f"Image      {SAMPLES / question['image']}",
            f"Reference  {question['answer']}",
            f"Alone      {alone}",
            f"Answer     {answer['answer']} ({chance:.0%}), certified, with {count} report{'' if count == 1 else 's'}",
            f"Domain     {answer['domain']}: only cases of this kind were searched",
            "",
        ]
        for context in answer["contexts"]:
            lines.append(f"  [{context['number']}] similarity {context['similarity']:.2f}: {context['report'][:160]}")
            lines.append(f"      {SAMPLES / context['image']}")
        why = f"Why {count}? Of the numbers of reports that passed the test, it had the fewest errors in calibration."
        lines += ["", fill(told, 100), "", fill(why, 100), fill(f"Certificate: {answer['statement']}", 100)]
        self._end(lines)

    def _end(self, lines: Sequence[str]) -> None:
        lines = [*lines, "", fill("The models are tiny and for research only. This is not a medical device.", 100)]
        click.secho("\n" + "=" * 100, bold=True)
        click.echo("\n".join(lines))
        click.secho("=" * 100, bold=True)
