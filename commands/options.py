"""Options that several commands share, each group as one dataclass of the Python API, and the progress bar."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from commands.click_parts import Decorator, option, option_group, personal_option
from commands.model_options import device_option, dtype_option, loading_options, reading_options
from commands.paths import FILE, FOLDER
from titrate import InputError, printable

if TYPE_CHECKING:
    from indexing import ImageView
    from rag import QuestionOptions, SystemOptions


LEVEL = click.FloatRange(0, 1, min_open=True, max_open=True)

SYSTEM, IMAGES, QUESTIONS, OUTPUT = "Index and model", "Images", "Questions", "Output"

index_option = option("--index", type=FOLDER, default=Path("index"), help="Index folder.", section=SYSTEM)

api_key_option = personal_option(
    "--api-key",
    envvar="TITRATE_API_KEY",
    help="API key of the Qdrant server; better set as TITRATE_API_KEY. It is not stored.",
    section=SYSTEM,
)

certificate_key_option = option(
    "--signed-by",
    metavar="KEY",
    help="Refuse a certificate that is not signed: minisign public key, its file or its text.",
    section=SYSTEM,
)

url_option = personal_option(
    "--url",
    help="The index's Qdrant server; needed once if the index was built elsewhere.",
    section=SYSTEM,
)


def prompt_options(section: str = SYSTEM) -> tuple[Decorator, Decorator]:
    """The words around a question, and how much of each report is read."""
    return (
        option(
            "--prompt",
            type=FILE,
            help="Text file of the instructions that begin every message; reports and question follow by themselves.",
            section=section,
        ),
        option(
            "--max-report-tokens",
            type=click.IntRange(16),
            help="Cut longer reports, findings and impression last.  [default: as many as leave room for 8 reports]",
            section=section,
        ),
    )


def _window(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Centre and width out of CENTRE,WIDTH."""
    if value is None:
        return None
    try:
        centre, width = (float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not CENTRE,WIDTH, as in 40,400", ctx, parameter) from error
    return centre, width


def view_options(window: str, frame: str) -> tuple[Decorator, Decorator]:
    """What to show of images that hold more than a screen can, with what is shown where nothing is said."""
    return (
        option(
            "--window",
            callback=_window,
            metavar="CENTRE,WIDTH",
            help=f"Grey values of DICOM images to show, in their unit (HU for CT), as in 40,400.  [default: {window}]",
            section=IMAGES,
        ),
        option(
            "--frame",
            type=click.IntRange(0),
            help=f"Frame or page to show of images that have several, counted from 0.  [default: {frame}]",
            section=IMAGES,
        ),
    )


index_view_options = view_options("the index's, or else the file's own", "the index's, or else the middle one")


def make_view(
    window: tuple[float, float] | None, frame: int | None, default: "Callable[[], ImageView]"
) -> "ImageView | None":
    """What to show of each image; what was not named is as by default. None where nothing was named."""
    if window is None and frame is None:
        return None
    from indexing import ImageView

    before = default()
    return ImageView(before.window if window is None else window, before.frame if frame is None else frame)


def file_view() -> "ImageView":
    """What files show by themselves."""
    from indexing import ImageView

    return ImageView()


def _make_system(
    index: Path,
    mllm: str | None,
    mllm_api_key: str | None,
    adapter: Path | None,
    encoder: str | None,
    device: str | None,
    dtype: str | None,
    device_map: str | None,
    quantize_model: str | None,
    attention: str | None,
    batch_size: int | None,
    thought_tokens: int | None,
    retrieval: Any,
    api_key: str | None,
    url: str | None,
    window: tuple[float, float] | None,
    frame: int | None,
    prompt: Path | None,
    max_report_tokens: int | None,
) -> "SystemOptions":
    from indexing import Manifest
    from rag import LoadingOptions, SystemOptions

    return SystemOptions(
        index=index,
        mllm=mllm,
        adapter=adapter,
        encoder=encoder,
        device=device,
        dtype=dtype,
        loading=LoadingOptions(device_map, quantize_model, attention, batch_size, thought_tokens),
        retrieval=retrieval,
        view=make_view(window, frame, lambda: Manifest.load(index).view),
        api_key=api_key,
        mllm_api_key=mllm_api_key,
        url=url,
        prompt=prompt,
        max_report_tokens=max_report_tokens,
    )


def system_options(*, mllm_required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What every command needs that runs the model; the command gets it as ``system``."""
    return option_group(
        "system",
        _make_system,
        (
            index_option,
            personal_option(
                "--mllm",
                required=mllm_required,
                help="Model: a transformers folder, OWNER/NAME of the hub, or http://HOST:PORT/v1#MODEL of a server.",
                section=SYSTEM,
            ),
            personal_option(
                "--mllm-api-key",
                envvar="TITRATE_MLLM_API_KEY",
                help="API key of the model's server; better set as TITRATE_MLLM_API_KEY. It is not stored.",
                section=SYSTEM,
            ),
            personal_option(
                "--adapter",
                type=FOLDER,
                help="PEFT adapter made by `titrate train`.",
                section=SYSTEM,
            ),
            *prompt_options(),
            personal_option(
                "--encoder",
                help="The index's encoder, if it has moved since the build, or was never named here.",
                section=SYSTEM,
            ),
            device_option(SYSTEM),
            dtype_option(SYSTEM),
            *loading_options(SYSTEM),
            *reading_options(SYSTEM),
            option(
                "--retrieve-by",
                "retrieval",
                type=click.Choice(["image-image", "image-report", "question-report", "fusion"]),
                default="image-image",
                help="What is compared to find similar cases.",
                section=SYSTEM,
            ),
            api_key_option,
            url_option,
            *index_view_options,
        ),
    )


def _loss(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A loss; one that runs code only if whoever runs the command wrote it there."""
    named = value is not None and ":" in value and not value.startswith("findings:")
    if named and ctx.get_parameter_source(parameter.name or "") is not ParameterSource.COMMANDLINE:
        raise InputError(f"a loss that runs code, {value}, is taken from the command line only: give it with --loss")
    return value


def _make_questions(
    questions: Path, root: Path | None, max_k: int, loss: str | None, outcomes: Path
) -> "QuestionOptions":
    from rag import QuestionOptions

    return QuestionOptions(questions, root, max_k, loss, outcomes)


def question_options(split: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What every command needs that answers a file of questions; the command gets ``questions`` and ``split``."""
    group = option_group(
        "questions",
        _make_questions,
        (
            click.argument(
                "questions",
                type=FILE,
                help="JSON lines, a question each: see samples/README.md. Or a file of RULE, VQA-RAD, SLAKE, "
                "PathVQA, PMC-VQA.",
            ),
            option("--root", type=FOLDER, help="Folder of the images.  [default: the file's]", section=QUESTIONS),
            option(
                "--max-k",
                type=click.IntRange(0),
                default=8,
                help="Answer every question with 0 to so many reports.",
                section=QUESTIONS,
            ),
            personal_option(
                "--loss",
                callback=_loss,
                help="Judge open questions too, by tokens, findings, findings:FILE, FILE.py:function or "
                "module:function.",
                section=QUESTIONS,
            ),
            personal_option(
                "--outcomes",
                type=FOLDER,
                default=Path("outcomes"),
                help="Folder that keeps what was scored, so that a second run need not score it again.",
                section=QUESTIONS,
            ),
        ),
    )
    of_split = option("--split", default=split, help="Use the questions of this split.", section=QUESTIONS)
    return lambda command: of_split(group(command))


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, with rate and time left; what it yields is told how much is done, and of how much."""
    from tqdm import tqdm

    with tqdm(desc=printable(label), file=sys.stderr, disable=None, mininterval=0.5, dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
