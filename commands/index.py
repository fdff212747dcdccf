"""`titrate index` and `titrate info`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from commands.options import FOLDER, api_key_option, index_option, progress, view_options
from titrate import InputError

if TYPE_CHECKING:
    from indexing import BuildReport, ImageView, IndexInfo, SkippedRecord, StoreSettings

_Settings = TypeVar("_Settings", "ImageView", "StoreSettings")
_SHOWN = 5
"""Skipped records that are printed; all of them are in a file of the index."""

_THRESHOLDS = {
    "prefer": "set by images of the prefer split",
    "index": "set by a fifth of the indexed patients, as the corpus has too few in a prefer split; more than 5 % of "
    "images may be refused if the encoder was trained on the indexed ones",
    "none": "refuses nothing, as the corpus has too few patients to set it by",
}


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
    return prompts or None


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@index_option
@click.option(
    "--encoder",
    help="open_clip model that embeds images and reports: local-dir:FOLDER, hf-hub:OWNER/NAME or NAME/WEIGHTS.  "
    "[default: the index's; a new index needs one]",
)
@click.option("--root", type=FOLDER, help="Folder that image paths are relative to.  [default: the corpus file's]")
@click.option(
    "--field",
    "fields",
    multiple=True,
    callback=_pairs,
    metavar="FIELD=COLUMN",
    help="Column of the corpus that holds a field under another name, as in report=findings. Can be repeated.",
)
@click.option(
    "--split",
    default="train",
    help="Index the records of this split and those without one, or 'all'. Records that the corpus names with another "
    "split are removed from the index.",
)
@click.option("--limit", type=click.IntRange(1), help="Read only so many records from the beginning of the corpus.")
@view_options[0]
@view_options[1]
@click.option(
    "--zero-shot",
    multiple=True,
    callback=_prompts,
    metavar="DOMAIN[=PROMPT]",
    help="Domain for records that name none, chosen by how near the image is to the prompts. Can be repeated, for "
    "several domains or several prompts.  [default: the index's, or else one domain 'general']",
)
@click.option(
    "--quantize",
    is_flag=True,
    help="Search 8-bit vectors, a quarter of the memory, and rank what is found by the full ones.",
)
@click.option(
    "--url",
    help="Qdrant server or cluster that keeps the vectors.  [default: the index's, or else Qdrant Edge in the index]",
)
@api_key_option
@click.option("--shards", type=click.IntRange(1), help="Number of shards of each collection on the Qdrant server.")
@click.option("--replicas", type=click.IntRange(1), help="Number of copies of each shard on the Qdrant cluster.")
@click.option("--strict", is_flag=True, help="Stop at the first record that cannot be used, instead of skipping it.")
@click.option("--prune", is_flag=True, help="Remove records that are no longer in the corpus.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Build anew beside the index, then swap: for another encoder, window, frame, store or other zero-shot "
    "domains. Those not named stay as the index has them; to return to a default, build in another folder.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything; embed and write nothing.")
@click.option("--device", help="A torch device, such as cuda:1.  [default: the first GPU, or else the CPU]")
def index(
    corpus: Path,
    index: Path,
    encoder: str | None,
    root: Path | None,
    fields: dict[str, str],
    split: str,
    limit: int | None,
    window: tuple[float, float] | None,
    frame: int | None,
    zero_shot: dict[str, list[str]] | None,
    quantize: bool,
    url: str | None,
    api_key: str | None,
    shards: int | None,
    replicas: int | None,
    strict: bool,
    prune: bool,
    rebuild: bool,
    dry_run: bool,
    device: str | None,
) -> None:
    """Build an index of a CORPUS of images and reports, or bring it up to date.

    CORPUS is JSON lines, CSV, Parquet, a JSON list, or a folder of DICOM files with reports beside them.

    The first build fixes encoder, window, frame, zero-shot domains and the store (url, shards, replicas, quantization)
    for good; later builds need not name them again.
    """
    from indexing import (
        CorpusOptions,
        Encoder,
        ImageView,
        StoreSettings,
        build_index,
        check_corpus,
        default_prompts,
        load_fixed_settings,
    )

    held = load_fixed_settings(index)
    options = CorpusOptions(
        root=root,
        fields=fields,
        split=None if split == "all" else split,
        limit=limit,
        strict=strict,
        view=_with_named(ImageView() if held is None else held.view, window=window, frame=frame),
    )
    if dry_run:
        with progress("checking") as show:
            checked = check_corpus(corpus, options, progress=show)
        click.echo(f"{checked.usable} usable, {checked.other_split} of other splits, {checked.skipped} skipped")
        _show(checked.problems, checked.skipped)
        return
    encoder = encoder or (held.encoder_id if held is not None else None)
    if not encoder:
        raise InputError(f"index {index} has no encoder yet; name one with --encoder")
    prompts = {domain: own or default_prompts([domain])[domain] for domain, own in (zero_shot or {}).items()}
    with progress("embedding") as show:
        report = build_index(
            corpus,
            index,
            Encoder.open(encoder, device),
            options,
            zero_shot=prompts or None,
            store=_with_named(
                StoreSettings() if held is None else held.store,
                url=url,
                shards=shards,
                replicas=replicas,
                quantization="int8" if quantize else None,
            ),
            api_key=api_key,
            prune=prune,
            rebuild=rebuild,
            progress=show,
        )
    _print_report(index, report)


def _with_named(held: _Settings, **options: Any) -> _Settings:
    """The settings that an index has, with those changed that options name; None is an option left out."""
    return replace(held, **{name: value for name, value in options.items() if value is not None})


def _print_report(index: Path, report: "BuildReport") -> None:
    from indexing import Manifest

    made = Manifest.load(index)
    counts = ", ".join(f"{domain} {count}" for domain, count in sorted(report.counts.items()))
    click.echo(
        f"{report.embedded} embedded, {report.unchanged} unchanged, {report.other_split} of other splits, "
        f"{report.removed} removed, {report.skipped} skipped; the index holds {counts}"
        + (f" on {made.store.url}" if made.store.url else "")
    )
    if made.threshold_source != "prefer":
        click.echo(f'threshold of "none of these": {_THRESHOLDS[made.threshold_source]}', err=True)
    _show(report.problems, report.skipped)
    if report.skipped:
        click.echo(f"all of them are in {index / 'skipped.jsonl'}", err=True)


def _show(problems: "list[SkippedRecord]", skipped: int) -> None:
    for problem in problems[:_SHOWN]:
        click.echo(f"line {problem.line}: {problem.reason}", err=True)
    if skipped > _SHOWN:
        click.echo(f"and {skipped - _SHOWN} more", err=True)


@click.command()
@index_option
@click.option(
    "--certificate", type=click.Path(path_type=Path), help="A certificate; say whether it still holds for this index."
)
@api_key_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(index: Path, certificate: Path | None, api_key: str | None, as_json: bool) -> None:
    """Show an index's collections, counts, encoder and size, and whether a certificate still fits it."""
    from calibration import Certificate
    from indexing import index_info

    shown = index_info(index, api_key)
    held = None if certificate is None else Certificate.load(certificate).fingerprints
    fits = None
    if held is not None:
        fits = held.get("index") == shown.fingerprint and held.get("encoder") == shown.encoder_fingerprint
    if as_json:
        click.echo(json.dumps({**asdict(shown), "records": shown.records, "certificate_fits": fits}, indent=1))
        return
    for name, value in _lines(shown, fits):
        click.echo(f"{name:<14}{value}")


def _lines(shown: "IndexInfo", fits: bool | None) -> list[tuple[str, str]]:
    domains = ", ".join(f"{domain} {count:,}" for domain, count in shown.domains.items())
    vectors = "not told by the server" if shown.vector_bytes is None else f"{shown.vector_bytes / 2**20:,.1f} MiB"
    patients = ", ".join(f"{domain} {number:,} patients" for domain, number in shown.threshold_patients.items())
    lines = [
        ("records", f"{shown.records:,}: {domains}"),
        ("collections", ", ".join(shown.collections)),
        ("vectors", f"2 x {shown.dimension} numbers a record at {shown.location}, {vectors}"),
        ("quantization", shown.quantization),
        ("folder", f"{shown.folder_bytes / 2**20:,.1f} MiB"),
        ("encoder", shown.encoder),
        ("none of these", f"{_THRESHOLDS[shown.threshold_source]} ({patients})"),
        ("fingerprint", shown.fingerprint),
    ]
    if fits is not None:
        lines.append(("certificate", "fits this index" if fits else "was made for another index or encoder"))
    return lines
