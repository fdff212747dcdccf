"""`titrate info`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import SectionedCommand, example, option
from commands.options import OUTPUT, SYSTEM, api_key_option, certificate_key_option, index_option, url_option
from commands.output import say, say_json
from commands.paths import FILE

if TYPE_CHECKING:
    from indexing import IndexInfo


@click.command(cls=SectionedCommand, epilog=example("titrate info --index index --certificate certificate.json"))
@index_option
@api_key_option
@url_option
@option("--certificate", type=FILE, help="Certificate; say whether it still holds for this index.", section=SYSTEM)
@certificate_key_option
@option("--verify", is_flag=True, help="Read every record and compare it with what was indexed.", section=SYSTEM)
@option("--json", "as_json", is_flag=True, help="Print JSON.", section=OUTPUT)
def info(
    index: Path,
    api_key: str | None,
    url: str | None,
    certificate: Path | None,
    signed_by: str | None,
    verify: bool,
    as_json: bool,
) -> None:
    """Show what an index holds, and where.

    Collections, counts, encoder and size, and whether a certificate still holds for it. The files of an index in a
    folder are compared with their checksums; --verify reads each record, which takes longer, on a server, too.
    """
    from indexing import Index, index_info
    from rag import load_certificate

    promised = load_certificate(certificate, signed_by)
    shown = index_info(index, api_key, url)
    verified = None
    if verify:
        with Index.open(index, api_key, url) as opened:
            verified = opened.verify()
    fits = None
    if promised is not None:
        held = promised.fingerprints
        fits = held.get("index") == shown.fingerprint and held.get("encoder") == shown.encoder_fingerprint
    if as_json:
        say_json({**asdict(shown), "records": shown.records, "certificate_fits": fits, "verified": verified})
        return
    lines = _lines(shown, fits)
    if verified is not None:
        lines.append(("verified", f"{verified:,} records are as they were indexed"))
    for name, value in lines:
        say(f"{name:<14}{value}")


def _lines(shown: "IndexInfo", fits: bool | None) -> list[tuple[str, str]]:
    from indexing import THRESHOLD_SOURCES

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
        ("none of these", f"{THRESHOLD_SOURCES[shown.threshold_source]} ({patients})"),
        ("fingerprint", shown.fingerprint),
    ]
    if fits is not None:
        lines.append(("certificate", "fits this index" if fits else "was made for another index or encoder"))
    return lines
