"""`titrate index`."""

from pathlib import Path

import click

from commands.common import FILE, FOLDER, progress


@click.command()
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
