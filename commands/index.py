"""`titrate index` and `titrate info`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.options import FOLDER, api_key_option, index_option, progress, view_options

if TYPE_CHECKING:
    from indexing import CorpusOptions, IndexInfo, SkippedRecord

_SHOWN = 5
_THRESHOLDS = {
    "prefer": "set by images of the prefer split",
    "index": "set by indexed patients, for want of a prefer split; an encoder trained on them may refuse over 5 %",
    "none": "refuses nothing: too few patients to set it by",
    None: "not noted; index again",
}


def _pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Options of the form OURS=THEIRS as a dictionary."""
    parts = [value.split("=", 1) for value in values]
    for value, part in zip(values, parts, strict=True):
        if len(part) != 2 or not all(part):
            raise click.BadParameter(f"{value!r} is not of the form OURS=THEIRS", ctx, parameter)
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
@click.option("--encoder", help="open_clip model: local-dir:FOLDER, hf-hub:OWNER/NAME or NAME/WEIGHTS.")
@click.option("--root", type=FOLDER, help="Folder of the images.  [default: the corpus file's]")
@click.option(
    "--field", "fields", multiple=True, callback=_pairs, help="Name of a field in the corpus: report=findings."
)
@click.option("--split", default="train", help="Index the records of this split and those without one, or 'all'.")
@click.option("--limit", type=click.IntRange(1), help="Read the first so many records only.")
@view_options[0]
@view_options[1]
@click.option(
    "--zero-shot", multiple=True, callback=_prompts, metavar="DOMAIN[=PROMPT]", help="Domain for records without."
)
@click.option("--quantize", is_flag=True, help="Search 8-bit vectors, and rank what is found by the full ones.")
@click.option("--url", help="Qdrant server or cluster to keep the vectors.  [default: Qdrant Edge, in the index]")
@api_key_option
@click.option("--shards", type=click.IntRange(1), help="Of each collection on the Qdrant server.")
@click.option("--replicas", type=click.IntRange(1), help="Of each shard on the Qdrant cluster.")
@click.option("--strict", is_flag=True, help="Stop at the first record that cannot be used.")
@click.option("--prune", is_flag=True, help="Remove records that have left the corpus.")
@click.option("--rebuild", is_flag=True, help="Build anew beside the index, then swap: for another encoder or store.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, embed and write nothing.")
@click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]")
def index(
    corpus: Path, index: Path, encoder: str | None, split: str, dry_run: bool, device: str | None, **given: Any
) -> None:
    """Build an index of a CORPUS of images and reports, or bring it up to date.

    CORPUS is JSON lines, CSV, Parquet, a JSON list, or a folder of DICOM files with reports beside them.
    """
    from indexing import CorpusOptions, ImageView, check_corpus

    reading = CorpusOptions(
        root=given.pop("root"),
        fields=given.pop("fields"),
        split=None if split == "all" else split,
        limit=given.pop("limit"),
        strict=given.pop("strict"),
        view=ImageView(given.pop("window"), given.pop("frame")),
    )
    if dry_run:
        with progress("checking") as show:
            checked = check_corpus(corpus, reading, progress=show)
        click.echo(f"{checked.usable} usable, {checked.other_split} of other splits, {checked.skipped} skipped")
        _show(checked.problems, checked.skipped)
        return
    _build(corpus, index, encoder, device, reading, **given)


def _build(
    corpus: Path,
    index: Path,
    encoder: str | None,
    device: str | None,
    reading: "CorpusOptions",
    *,
    url: str | None,
    shards: int | None,
    replicas: int | None,
    quantize: bool,
    zero_shot: dict[str, list[str]] | None,
    **given: Any,
) -> None:
    from indexing import Encoder, Manifest, StoreSettings, build_index, default_prompts

    store = StoreSettings(url=url, shards=shards, replicas=replicas, quantization="int8" if quantize else "none")
    prompts = {domain: own or default_prompts([domain])[domain] for domain, own in (zero_shot or {}).items()}
    chosen = Encoder.open(encoder or Manifest.load(index).encoder, device)
    with progress("embedding") as show:
        report = build_index(
            corpus,
            index,
            chosen,
            reading,
            zero_shot=prompts or None,
            store=store if url or quantize or shards or replicas else None,
            progress=show,
            **given,
        )
    made = Manifest.load(index)
    counts = ", ".join(f"{domain} {count}" for domain, count in sorted(report.counts.items()))
    click.echo(
        f"{report.embedded} embedded, {report.unchanged} unchanged, {report.other_split} of other splits, "
        f"{report.removed} removed, {report.skipped} skipped; the index holds {counts}"
        + (f" on {made.store.url}" if made.store.url else "")
    )
    if made.threshold != "prefer":
        click.echo(f'threshold of "none of these": {_THRESHOLDS[made.threshold]}', err=True)
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
@click.option("--certificate", type=click.Path(path_type=Path), help="Say whether it was made for this index.")
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
        ("none of these", f"{_THRESHOLDS[shown.threshold]} ({patients})"),
        ("fingerprint", shown.fingerprint),
    ]
    if fits is not None:
        lines.append(("certificate", "fits this index" if fits else "was made for another index or encoder"))
    return lines
