"""A second look at calibrated patients, through the command line."""

import json
from pathlib import Path

from tests.command_line import Run, refused


def test_looks_are_counted_continued_or_refused(
    run: Run, few: Path, samples: Path, models: list[object], tmp_path: Path
) -> None:
    lines = [line for line in few.read_text().splitlines() if json.loads(line)["split"] == "calibrate"]
    grown = tmp_path / "questions.jsonl"
    # Domain by domain, so that the first half has patients of each.
    lines.sort(key=lambda line: json.loads(line)["id"][::-1])
    grown.write_text("\n".join(lines[: len(lines) // 2]) + "\n")
    words = ["calibrate", grown, "--root", samples, *models, "--max-k", 1, "--p-value", "star"]
    first = run(*words, "--alpha", 0.99)
    assert first.exit_code == 0, first.output
    certificate = tmp_path / "certificate.json"
    made = json.loads(certificate.read_text())
    patients = sum(domain["n_units"] for domain in made["domains"].values())  # each is in one domain
    assert (made["procedure"], made["p_value"], made["rounds"]) == ("closed-e", "star", [patients])
    again = run(*words, "--alpha", 0.99)
    assert again.exit_code == 0, again.output
    assert json.loads(certificate.read_text())["digest"] == made["digest"]
    refused(run(*words, "--alpha", 0.98), "other settings were tested on", "breaks the promise")
    refused(run(*words, "--alpha", 0.99, "--retrieve-by", "fusion"), "0.1 of delta is spent on", "--delta")
    other = run(*words, "--alpha", 0.99, "--retrieve-by", "fusion", "--delta", 0.3, "--out", "other.json")
    assert other.exit_code == 0, other.output
    assert "1 other systems were calibrated on these patients: 0.1 of delta is spent, 0.2 is left" in other.stderr
    counted = json.loads((tmp_path / "other.json").read_text())
    assert (counted["look"], counted["spent"], counted["delta"]) == (2, 0.1, 0.3)
    grown.write_text("\n".join(lines) + "\n")
    more = run(*words, "--alpha", 0.99)
    assert more.exit_code == 0, more.output
    before = made["rounds"][0]
    continued = json.loads(certificate.read_text())
    patients = sum(domain["n_units"] for domain in continued["domains"].values())
    assert continued["rounds"] == [before, patients - before]
    assert f"an earlier calibration goes on: {before} patients were tested before" in more.stderr
