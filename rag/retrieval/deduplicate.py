"""Reports told apart: a study of several views is several records with one report, to be read once."""

from collections.abc import Sequence

from indexing import Match, Record
from titrate import examination


def deduplicate(matches: Sequence[Match]) -> list[Match]:
    """Of the images of one study with the same report, only the first."""
    first: dict[tuple[str, str], Match] = {}
    for match in matches:
        first.setdefault(report_key(match.record), match)
    return list(first.values())


def report_key(record: Record) -> tuple[str, str]:
    """What tells one report from another: whose it is, as other cases may be described alike, and what it says."""
    return examination(record.patient, record.study, record.id), record.report
