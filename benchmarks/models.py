"""What the small models can do, measured on the research data: all figures of the model cards and docs/results.md.

    python -m benchmarks.models --data ../shared/data --work bench

Nothing here was used to choose anything. Outcome tables are kept in the work folder, so that a second run is quick.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration import OutcomeTable, certify, mean_per_unit
from indexing import Encoder, build_index, load_image
from rag import (
    AnsweringSystem,
    Outcomes,
    Prompt,
    PromptTemplate,
    Question,
    QuestionOptions,
    QuestionRun,
    SystemOptions,
    evaluate,
    format_scores,
    normalised,
    read_questions,
)

MAX_K = 8
"""The most contexts that the model was trained with."""
ALPHAS, DELTA, RESAMPLES, SEED = (0.25, 0.3, 0.35, 0.4), 0.1, 200, 0
DUMMY = dict.fromkeys(("encoder", "index", "prompt", "mllm", "retrieval", "questions"), "resample")


def main(data: Path, work: Path, encoder: str, mllm: str) -> None:
    """Measure everything and print it; figures also go to ``work/models.json``."""
    work.mkdir(parents=True, exist_ok=True)
    build_index(data / "corpus.jsonl", work / "index", Encoder.open(encoder))
    path = data / "questions.jsonl"
    known = read_questions(path, splits=["train"])
    figures: dict[str, Any] = {}
    with open_run(path, work, mllm) as run:
        test = outcomes_of(run, "test")
        rows = evaluate(test, known, None)
        figures["rows"] = [asdict(row) for row in rows]
        print(format_scores(rows), flush=True)
        for name, found in (
            ("domains", lambda: domain_accuracy(run.system, test.questions)),
            ("stated", lambda: stated_answers(run.system, test, known)),
            ("shuffled", lambda: shuffled_images(run, test)),
            ("certificates", lambda: certificates(outcomes_of(run, "calibrate").table, test.table)),
        ):
            figures[name] = found()
            print(name, json.dumps(figures[name], indent=1), flush=True)
    (work / "models.json").write_text(json.dumps(figures, indent=1) + "\n")


def open_run(path: Path, work: Path, mllm: str) -> QuestionRun:
    """The question file through the model, with what was scored kept in the work folder."""
    questions = QuestionOptions(path, max_k=MAX_K, outcomes=work / "outcomes")
    return QuestionRun.open(SystemOptions(work / "index", mllm), questions, progress=lines)


@contextmanager
def lines(label: str) -> Iterator[Callable[[int, int], None]]:
    """Progress as a line now and then: a benchmark's output goes to a file."""

    def show(done: int, total: int) -> None:
        if done % 500 < 50:
            print(f"{label}: {done} of {total}", file=sys.stderr, flush=True)

    yield show


def outcomes_of(run: QuestionRun, split: str) -> Outcomes:
    """Outcomes of a split's closed questions, about declined images too, so that every run judges the same."""
    return run.score(run.retrieve(run.read(split), "accept"))


def domain_accuracy(system: AnsweringSystem, questions: Sequence[Question]) -> dict[str, Any]:
    """Share of images routed to their own domain, over images."""
    of_image = {question.image: question.domain for question in questions}
    routed: list[str] = []
    images = list(of_image)
    for start in range(0, len(images), 64):
        vectors = system.encoder.embed_images([load_image(image) for image in images[start : start + 64]])
        routed += system.index.route(vectors)[0]
    right = [given == of_image[image] for given, image in zip(routed, images, strict=True)]
    return {"images": len(images), "accuracy": float(np.mean(right))}


def shuffled_images(run: QuestionRun, outcomes: Outcomes) -> dict[str, Any]:
    """Accuracy without contexts when each question is asked of another image of its domain."""
    rng = np.random.default_rng(SEED)
    figures = {}
    for domain in sorted(set(outcomes.table.domains)):
        rows = [row for row, name in enumerate(outcomes.table.domains) if name == domain]
        questions = [outcomes.questions[row] for row in rows]
        others = [questions[row].image for row in rng.permutation(len(questions))]
        moved = [replace(question, image=other) for question, other in zip(questions, others, strict=True)]
        retrieved = run.system.retrieve(moved, 0, "accept")
        said = [replies[0].text for replies in run.system.answer(retrieved, [0])]
        right = [text == question.answer for text, question in zip(said, retrieved.questions, strict=True)]
        figures[domain] = {
            "own image": float(1 - outcomes.table.losses[rows, 0].mean()),
            "another image": float(np.mean(right)),
        }
    return figures


def stated_answers(system: AnsweringSystem, outcomes: Outcomes, known: Sequence[Question]) -> dict[str, Any]:
    """How far one context moves P(yes): a report of a case with answer yes to this question, against one with no."""
    reports = {match.record.id: match.record.report for matches in outcomes.matches for match in matches}
    stating: dict[tuple[str, str], str] = {}
    for question in known:
        if question.options == ("yes", "no") and question.record in reports:
            stating.setdefault((question.text, question.answer), reports[question.record])
    template, rng = PromptTemplate(), np.random.default_rng(SEED)
    figures = {}
    for domain in sorted(set(outcomes.table.domains)):
        asked = [
            outcomes.questions[row]
            for row, name in enumerate(outcomes.table.domains)
            if name == domain and all((outcomes.questions[row].text, answer) in stating for answer in ("yes", "no"))
        ]
        chosen = [asked[row] for row in rng.permutation(len(asked))[:200]]
        prompts = [
            Prompt(picture, template.render(question.text, ("yes", "no"), reports))
            for question in chosen
            for picture in [load_image(question.image)]
            for reports in ([], [stating[question.text, "yes"]], [stating[question.text, "no"]])
        ]
        scores = system.mllm.score(prompts, [("yes", "no")] * len(prompts))
        yes = np.array([np.exp(normalised(row))[0] for row in scores]).reshape(-1, 3)
        figures[domain] = {
            "questions": len(chosen),
            "P(yes) alone": float(yes[:, 0].mean()),
            "P(yes) after a report that says yes": float(yes[:, 1].mean()),
            "P(yes) after a report that says no": float(yes[:, 2].mean()),
            "answers that differ between the two": float(((yes[:, 1] > 0.5) != (yes[:, 2] > 0.5)).mean()),
        }
    return figures


def certificates(calibrate: OutcomeTable, test: OutcomeTable) -> list[dict[str, Any]]:
    """Certificates at several risks, what they are worth on the test split, and over resampled calibration patients."""
    figures = []
    truth = {domain: unit_risks(test, domain) for domain in sorted(set(test.domains))}
    for alpha in ALPHAS:
        certificate = certify(calibrate, alpha=alpha, delta=DELTA, fingerprints=DUMMY)
        row: dict[str, Any] = {"alpha": alpha, "delta": DELTA, "domains": {}}
        for domain, result in certificate.domains.items():
            k = None if result.policy is None else result.policy.k
            row["domains"][domain] = {
                "k": k, "certified": [one.policy.k for one in result.certified],
                "calibration risk": result.best(alpha).risk,
                "test risk": None if k is None else float(truth[domain][k]),
                "patients": result.n_units, "further patients": result.further_units,
            }  # fmt: skip
        row |= resampled(calibrate, truth, alpha)
        figures.append(row)
    return figures


def unit_risks(table: OutcomeTable, domain: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean over patients of their mean loss, at each k."""
    part = table.select(domain)
    means: np.ndarray[Any, np.dtype[np.float64]] = mean_per_unit(part.losses, part.units)[0].mean(axis=0)
    return means


def resampled(calibrate: OutcomeTable, truth: dict[str, Any], alpha: float) -> dict[str, Any]:
    """Over calibration patients drawn with replacement: how often every chosen k kept its promise on test."""
    rng = np.random.default_rng(SEED)
    rows_of: dict[str, list[int]] = {}
    for row, unit in enumerate(calibrate.units):
        rows_of.setdefault(unit, []).append(row)
    units = sorted(rows_of)
    kept, certified = 0, 0
    for _ in range(RESAMPLES):
        drawn = [(copy, row) for copy, unit in enumerate(rng.choice(units, len(units))) for row in rows_of[unit]]
        rows = [row for _, row in drawn]
        table = OutcomeTable(
            question_ids=[f"{copy}/{calibrate.question_ids[row]}" for copy, row in drawn],
            units=[f"{copy}/{calibrate.units[row]}" for copy, row in drawn],
            domains=[calibrate.domains[row] for row in rows],
            losses=calibrate.losses[rows],
            confidences=calibrate.confidences[rows],
            answers=[calibrate.answers[row] for row in rows],
        )
        certificate = certify(table, alpha=alpha, delta=DELTA, fingerprints=DUMMY)
        chosen = [(name, result.policy.k) for name, result in certificate.domains.items() if result.policy is not None]
        kept += all(truth[domain][k] <= alpha for domain, k in chosen)
        certified += len(chosen)
    return {"resamples": RESAMPLES, "promise kept": kept / RESAMPLES, "certified a resample": certified / RESAMPLES}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    parser.add_argument("--encoder", default="local-dir:samples/models/encoder")
    parser.add_argument("--mllm", default="samples/models/mllm")
    arguments = parser.parse_args()
    main(arguments.data, arguments.work, arguments.encoder, arguments.mllm)
