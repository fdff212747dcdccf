"""`titrate index`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import Decorator, SectionedCommand, example, option, option_group, personal_option
from commands.model_options import device_option
from commands.options import OUTPUT, SYSTEM, api_key_option, index_view_options, make_view, progress
from commands.output import say, show_skipped
from commands.paths import FOLDER
from titrate import InputError, unprintable

if TYPE_CHECKING:
    from indexing import BuildReport, CorpusOptions, FixedSettings, ImageView, StoreSettings

CORPUS, _STORE, _BUILD = "The corpus", "Where the vectors are kept", "The build"


def _pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Options of the form FIELD=COLUMN as a dictionary."""
    parts = [value.split("=", 1) for value in values]
    for value, part in zip(values, parts, strict=True):
        if len(part) != 2 or not all(part):
            raise click.BadParameter(f"{value!r} is not of the form FIELD=COLUMN", ctx, parameter)
    return {part[0]: part[1] for part in parts}


def _prompts(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, list[str]] | None:
    """Options of the form DOMAIN or DOMAIN=PROMPT as the prompts of each domain."""
    prompts: dict[str, list[str]] = {}
    for value in values:
        domain, _, prompt = value.partition("=")
        prompts.setdefault(domain.strip(), []).extend([prompt.strip()] if prompt.strip() else [])
    if "" in prompts:
        raise click.BadParameter("a domain has no name", ctx, parameter)
    if hidden := unprintable("".join(prompts)):
        raise click.BadParameter(f"a domain's name holds {hidden}, which does not show", ctx, parameter)
    return prompts or None


@dataclass(frozen=True)
class Named:
    """What was named of the settings that a first build fixes; None and False were not."""

    window: tuple[float, float] | None
    frame: int | None
    url: str | None
    shards: int | None
    replicas: int | None
    quantize: bool

    def view(self, held: "FixedSettings | None") -> "ImageView":
        """What to show of images: what was named, and else what the index has."""
        from indexing import ImageView

        before = ImageView() if held is None else held.view
        return make_view(self.window, self.frame, lambda: before) or before

    def store(self, held: "FixedSettings | None") -> "StoreSettings":
        """Where vectors are kept: what was named, and else what the index has."""
        from indexing import StoreSettings

        before = StoreSettings() if held is None else held.store
        if self.url is None:
            before.admit(None)
        return replace(
            before,
            url=self.url or before.url,
            shards=self.shards or before.shards,
            replicas=self.replicas or before.replicas,
            quantization="int8" if self.quantize else before.quantization,
        )


def _corpus_options(
    root: Path | None, fields: dict[str, str], limit: int | None, strict: bool, split: str = "train"
) -> "CorpusOptions":
    from indexing import CorpusOptions

    return CorpusOptions(root=root, fields=fields, split=None if split == "all" else split, limit=limit, strict=strict)


def corpus_options(*more: Decorator) -> Decorator:
    """Which records of a corpus are read, and how; the command gets them as ``options``."""
    options = (
        option(
            "--root",
            type=FOLDER,
            help="Folder that image paths are relative to.  [default: the corpus file's]",
            section=CORPUS,
        ),
        option(
            "--field",
            "fields",
            multiple=True,
            callback=_pairs,
            metavar="FIELD=COLUMN",
            help="Column of the corpus that holds a field under another name, as in report=findings. Repeatable.",
            section=CORPUS,
        ),
        *more,
        option(
            "--limit",
            type=click.IntRange(1),
            help="Read only so many records from the beginning of the corpus.",
            section=CORPUS,
        ),
        option(
            "--strict",
            is_flag=True,
            help="Stop at the first record that cannot be used, instead of skipping it.",
            section=CORPUS,
        ),
    )
    return option_group("options", _corpus_options, options)


_split_option = option(
    "--split",
    default="train",
    help="Index the records of this split and those without one, or 'all'. Records that the corpus names with "
    "another split are removed from the index.",
    section=CORPUS,
)

_named_option_group = option_group(
    "named",
    Named,
    (
        *index_view_options,
        personal_option(
            "--url",
            help="Qdrant server or cluster that keeps the vectors.  [default: the index's, or else Qdrant Edge in the "
            "index]",
            section=_STORE,
        ),
        option(
            "--shards",
            type=click.IntRange(1),
            help="Number of shards of each collection on the Qdrant server.",
            section=_STORE,
        ),
        option(
            "--replicas",
            type=click.IntRange(1),
            help="Number of copies of each shard on the Qdrant cluster.",
            section=_STORE,
        ),
        option(
            "--quantize",
            is_flag=True,
            help="Search 8-bit vectors, a quarter of the memory, and rank what is found by the full ones.",
            section=_STORE,
        ),
    ),
)


@click.command(
    cls=SectionedCommand,
    epilog=example("titrate index corpus.jsonl --index index --encoder local-dir:samples/models/encoder"),
)
@click.argument(
    "corpus",
    type=FOLDER,
    help="JSON lines, CSV, TSV, Parquet, a JSON list, a folder of DICOM files with reports beside them, or a public "
    "archive's own table.",
)
@corpus_options(_split_option)
@personal_option("--index", type=FOLDER, default=Path("index"), help="Index folder.", section=SYSTEM)
@personal_option(
    "--encoder",
    help="Model that embeds images and reports: local-dir:FOLDER, hf:OWNER/NAME[@REVISION] (CLIP, SigLIP of "
    "transformers), hf-hub:OWNER/NAME or NAME/WEIGHTS (open_clip).  "
    "[default: the index's; a new index needs one]",
    section=SYSTEM,
)
@device_option(SYSTEM)
@_named_option_group
@api_key_option
@option(
    "--zero-shot",
    multiple=True,
    callback=_prompts,
    metavar="DOMAIN[=PROMPT]",
    help="Domain for records that name none, chosen by how near the image is to the prompts. Repeatable, for several "
    "domains or several prompts.  [default: the index's, or else one domain 'general']",
    section=_BUILD,
)
@personal_option("--prune", is_flag=True, help="Remove records that are no longer in the corpus.", section=_BUILD)
@personal_option(
    "--rebuild",
    is_flag=True,
    help="Build anew beside the index, then swap: for another encoder, window, frame, store or other zero-shot "
    "domains. Those not named stay as the index has them; to return to a default, build in another folder.",
    section=_BUILD,
)
@option("--dry-run", is_flag=True, help="Read and check everything; embed and write nothing.", section=OUTPUT)
def index(
    corpus: Path,
    options: "CorpusOptions",
    index: Path,
    encoder: str | None,
    device: str | None,
    named: Named,
    api_key: str | None,
    zero_shot: dict[str, list[str]] | None,
    prune: bool,
    rebuild: bool,
    dry_run: bool,
) -> None:
    """Build an index of images and reports, or update it.

    The first build fixes encoder, window, frame, zero-shot domains and the store (url, shards, replicas, quantization)
    for good; later builds need not name them again.
    """
    from indexing import check_corpus, encoder_to_load, load_fixed_settings

    held = load_fixed_settings(index)
    options = replace(options, view=named.view(held))
    if dry_run:
        with progress("checking") as show:
            checked = check_corpus(corpus, options, progress=show)
        say(f"{checked.usable} usable, {checked.other_split} of other splits, {checked.skipped} skipped")
        _tell_long_reports(checked.long_reports, checked.usable)
        show_skipped(checked.problems, checked.skipped, checked.no_pictures)
        return
    if held is not None and held.encoder_id:
        encoder = encoder_to_load(encoder, held.encoder_id)
    if not encoder:
        raise InputError(f"there is no index in {index} yet; name the encoder of a new one with --encoder")
    from indexing import Encoder, build_index, default_prompts

    opened = Encoder.open(encoder, device)
    prompts = {domain: own or default_prompts([domain])[domain] for domain, own in (zero_shot or {}).items()}
    with progress("embedding") as show:
        report = build_index(
            corpus,
            index,
            opened,
            options,
            zero_shot=prompts or None,
            store=named.store(held),
            api_key=api_key,
            prune=prune,
            rebuild=rebuild,
            progress=show,
        )
    _print_report(index, report, opened.context_length)


def _print_report(index: Path, report: "BuildReport", context: int | None) -> None:
    from indexing import THRESHOLD_SOURCES, Manifest

    made = Manifest.load(index)
    counts = ", ".join(f"{domain} {count}" for domain, count in sorted(report.counts.items()))
    say(
        f"{report.embedded} embedded, {report.unchanged} unchanged, {report.other_split} of other splits, "
        f"{report.removed} removed, {report.skipped} skipped; the index holds {counts}"
        + (f" on {made.store.url}" if made.store.url else "")
    )
    _tell_long_reports(report.long_reports, report.embedded + report.unchanged)
    if report.cut_reports:
        say(
            f"{report.cut_reports} of {report.embedded} reports are longer than the {context} tokens that the encoder "
            "reads: retrieval that compares reports goes by their beginning",
            err=True,
        )
    if made.threshold_source != "prefer":
        say(f'threshold of "none of these": {THRESHOLD_SOURCES[made.threshold_source]}', err=True)
    show_skipped(report.problems, report.skipped, report.no_pictures)
    if report.skipped:
        say(f"all of them are in {index / 'skipped.jsonl'}", err=True)


def _tell_long_reports(long: int, reports: int) -> None:
    """Which reports are cut depends on the model, which is not known here."""
    from indexing import LONG_REPORT

    if long:
        say(
            f"{long} of {reports} reports have more than {LONG_REPORT} words: a model with a short context reads them "
            "cut, findings and impression last (calibrate tells how many)",
            err=True,
        )
