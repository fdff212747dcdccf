"""The command line: parse, call, print. Everything heavy is imported by the command that needs it.

Answers go to stdout, progress and notes to stderr.
Exit codes: 0 done, 1 anything else, 2 bad input, 3 nothing certified.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from titrate import NothingCertifiedError, TitrateError, __version__
from titrate.settings import read_settings

if TYPE_CHECKING:
    from rag import Outcomes, Pipeline

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
LEVEL = click.FloatRange(0, 1, min_open=True, max_open=True)


class Commands(click.Group):
    """Turns the exceptions that are ours into one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TitrateError as error:
            click.echo(f"titrate: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"auto_envvar_prefix": "TITRATE", "show_default": True})
@click.version_option(__version__)
@click.option("--config", type=FILE, help="Settings file.  [default: titrate.toml, if it is there]")
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Answer questions about medical images from the reports of similar cases, with a guarantee. Not a medical device.

    Every option can also be set in titrate.toml ([ask] k = 3) or the environment (TITRATE_ASK_K=3).
    """
    assert isinstance(ctx.command, click.Group)
    options = {name: {p.name for p in command.params if p.name} for name, command in ctx.command.commands.items()}
    ctx.default_map = read_settings(config, options)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command that runs the model needs."""
    for option in (
        click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]"),
        click.option("--encoder", help="The index's encoder, if it has moved since."),
        click.option("--adapter", type=FOLDER, help="PEFT adapter made by `titrate train`."),
        click.option("--mllm", required=True, help="Model: a transformers folder, or OWNER/NAME of the hub."),
        click.option("--index", type=FOLDER, required=True, help="Index folder."),
    ):
        command = option(command)
    return command


def question_options(split: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What every command that answers a file of questions needs."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--max-k", type=click.IntRange(0), default=8, help="K: try 0 to K contexts."),
            click.option("--split", default=split, help="Use the questions of this split."),
            click.option("--root", type=FOLDER, help="Folder of the images.  [default: the question file's]"),
            click.argument("questions", type=FILE),
        ):
            command = option(command)
        return command

    return add


@main.command()
@click.argument("corpus", type=FILE)
@click.option("--index", type=FOLDER, required=True, help="Index folder, made if it is not there.")
@click.option("--encoder", help="open_clip model: local-dir:FOLDER, hf-hub:OWNER/NAME or NAME/WEIGHTS.")
@click.option("--root", type=FOLDER, help="Folder of the images.  [default: the corpus file's]")
@click.option("--split", default="train", help="Index the records of this split and those without one, or 'all'.")
@click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]")
def index(corpus: Path, index: Path, encoder: str | None, root: Path | None, split: str, device: str | None) -> None:
    """Build an index of a CORPUS of images and reports, or bring it up to date."""
    from indexing import Encoder, Manifest, build_index

    chosen = encoder or Manifest.load(index).encoder
    wanted = None if split == "all" else split
    with progress("embedding") as show:
        report = build_index(corpus, index, Encoder.open(chosen, device), root=root, split=wanted, progress=show)
    counts = ", ".join(f"{domain} {count}" for domain, count in sorted(report.counts.items()))
    click.echo(
        f"{report.embedded} embedded, {report.unchanged} unchanged, {report.other_split} of other splits, "
        f"{report.removed} removed, {len(report.skipped)} skipped; the index holds {counts}"
    )
    if report.skipped:
        first = report.skipped[0]
        click.echo(f"line {first.line}: {first.reason}; all of them are in {index / 'skipped.jsonl'}", err=True)


@main.command()
@click.argument("image", type=FILE)
@click.argument("question")
@model_options
@click.option("--options", help="Answers to choose from, separated by commas; without them the answer is free text.")
@click.option("--certificate", type=FILE, help="Certificate that decides how many contexts are read.")
@click.option("--k", type=click.IntRange(0), help="Read so many contexts, without a guarantee.")
@click.option("--patient", help="Whose image this is; nothing of theirs is retrieved.")
@click.option("--study", help="Study that it belongs to; nothing of it is retrieved.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--show-prompt", is_flag=True, help="Print the prompt as well.")
def ask(
    image: Path,
    question: str,
    options: str | None,
    certificate: Path | None,
    k: int | None,
    patient: str | None,
    study: str | None,
    as_json: bool,
    show_prompt: bool,
    **models: Any,
) -> None:
    """Answer a QUESTION about an IMAGE."""
    from rag import Pipeline, answer_json, answer_page

    choices = None if options is None else [option.strip() for option in options.split(",")]
    with Pipeline.open(certificate=certificate, k=k, **models) as pipeline:
        answer = pipeline.ask(image, question, choices, patient=patient, study=study)
    if as_json:
        click.echo(json.dumps(answer_json(answer, with_prompt=show_prompt), ensure_ascii=False, indent=1))
    else:
        click.echo(answer_page(answer, with_prompt=show_prompt))


@main.command()
@question_options("calibrate")
@model_options
@click.option("--alpha", type=LEVEL, required=True, help="Risk to promise: the share of wrong answers.")
@click.option("--delta", type=LEVEL, default=0.1, help="Chance that the promise is false.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the order in which patients are tested.")
@click.option("--p-value", type=click.Choice(["wsr", "hoeffding-bentkus", "binomial"]), default="wsr")
@click.option("--out", type=FILE, default=Path("certificate.json"), help="Certificate to write.")
def calibrate(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    alpha: float,
    delta: float,
    seed: int,
    p_value: str,
    out: Path,
    **models: Any,
) -> None:
    """Find how many contexts keep the risk at or under ALPHA, and write a certificate."""
    from calibration import certify
    from rag import questions_fingerprint

    pipeline, outcomes = answer_all(questions, root, split, max_k, models)
    fingerprints = {**pipeline.fingerprints, "questions": questions_fingerprint(outcomes.questions)}
    certificate = certify(
        outcomes.table, alpha=alpha, delta=delta, fingerprints=fingerprints, seed=seed, p_value=p_value
    )
    sentences = [certificate.sentence(domain) for domain in sorted(certificate.domains)]
    if not certificate.certified_domains:
        raise NothingCertifiedError(" ".join(sentences))
    certificate.save(out)
    click.echo("\n".join([*sentences, f"Certificate: {out}"]))


@main.command()
@question_options("test")
@model_options
@click.option("--certificate", type=FILE, help="Judge the certified policy as well.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    questions: Path, root: Path | None, split: str, max_k: int, certificate: Path | None, as_json: bool, **models: Any
) -> None:
    """Compare fixed numbers of contexts, the certified policy, and answers that need no model."""
    from dataclasses import asdict

    from calibration import Certificate
    from rag import evaluate as compare
    from rag import format_rows, known_questions

    promised = Certificate.load(certificate) if certificate else None
    _, outcomes = answer_all(questions, root, split, max_k, models, promised)
    rows = compare(outcomes, known_questions(questions, root, outcomes.questions), promised)
    click.echo(json.dumps([asdict(row) for row in rows], indent=1) if as_json else format_rows(rows))


@main.command()
@question_options("prefer")
@model_options
@click.option("--k", type=click.IntRange(0), help="Measure reliance on so many contexts.  [default: K]")
@click.option("--per-question", type=click.IntRange(1), default=2, help="At most so many pairs a question.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the choice among pairs.")
@click.option("--out", type=FILE, default=Path("pairs.jsonl"), help="Preference pairs to write.")
def mine(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    k: int | None,
    per_question: int,
    seed: int,
    out: Path,
    **models: Any,
) -> None:
    """Find where the model was right alone and its contexts misled it, and write preference pairs."""
    from preference import format_reliance, measure_reliance, mine_pairs, write_pairs
    from rag import known_questions

    pipeline, outcomes = answer_all(questions, root, split, max_k, models)
    known = known_questions(questions, root, outcomes.questions)
    click.echo(format_reliance(measure_reliance(outcomes, known, max_k if k is None else k)))
    mined = mine_pairs(outcomes, pipeline.prompt, per_question=per_question, seed=seed)
    write_pairs(mined.pairs, out, root=root or questions.parent)
    click.echo("\n".join([*mined.notes, f"{len(mined.pairs)} pairs: {out}"]))


@main.command()
@click.argument("pairs", type=FILE)
@click.option("--mllm", required=True, help="Model: a transformers folder, or OWNER/NAME of the hub.")
@click.option("--root", type=FOLDER, help="Folder of the images.  [default: the pair file's]")
@click.option("--out", type=FOLDER, default=Path("adapter"), help="Adapter folder to write.")
@click.option("--epochs", type=float, default=3.0, help="Passes over the pairs.")
@click.option("--learning-rate", type=float, default=1e-4, help="At the first step.")
@click.option("--beta", type=float, default=0.1, help="How strongly the model is held to what it was.")
@click.option("--batch-size", type=click.IntRange(1), default=8, help="Pairs a step.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the first weights and the order of the pairs.")
@click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]")
def train(pairs: Path, mllm: str, root: Path | None, out: Path, **settings: Any) -> None:
    """Train an adapter on preference PAIRS, so that the model leans less on what was retrieved."""
    from preference import read_pairs, train_adapter

    chosen = read_pairs(pairs, root=root)
    with progress("training") as show:
        report = train_adapter(chosen, mllm, out, progress=show, **settings)
    click.echo(
        f"{report.pairs} pairs, {len(report.losses)} steps: loss {report.losses[0]:.3f} to {report.losses[-1]:.3f}, "
        f"reward margin {report.margins[0]:.3f} to {report.margins[-1]:.3f}; adapter: {out}"
    )


@main.command()
@click.option("--out", type=FOLDER, default=Path("demo"), help="Folder for what the demo makes.")
def demo(out: Path) -> None:
    """Run all of the above on the samples of the checkout, with explanations; minutes on two cores."""
    try:
        from samples.demo import run_demo
    except ImportError as error:
        raise TitrateError("the demo needs the samples: run `python cli.py demo` in a checkout") from error
    run_demo(out, lambda arguments: main.main(arguments, prog_name="titrate", standalone_mode=False) or 0)


def answer_all(
    path: Path, root: Path | None, split: str, max_k: int, models: dict[str, Any], certificate: Any = None
) -> "tuple[Pipeline, Outcomes]":
    """Answer every closed question of a split at k = 0..K."""
    from rag import Pipeline, closed_questions, read_questions, retrieve, score_outcomes

    asked = read_questions(path, root=root, splits=[split])
    closed = closed_questions(asked, path)
    if len(closed) < len(asked):
        click.echo(f"{len(asked) - len(closed)} of {len(asked)} questions are open and left out", err=True)
    with Pipeline.open(certificate=None, k=0, **models) as pipeline, progress("answering") as show:
        if certificate is not None:
            certificate.verify(pipeline.fingerprints)
        retrieved = retrieve(pipeline.index, pipeline.encoder, closed, max_k)
        return pipeline, score_outcomes(pipeline.mllm, pipeline.prompt, retrieved, max_k, progress=show)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; what it yields is told how much is done, and how much there is in all."""
    with click.progressbar(length=0, label=label, file=sys.stderr, show_pos=True) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show


if __name__ == "__main__":
    main(prog_name="titrate")
