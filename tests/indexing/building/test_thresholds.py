"""Where the threshold of "none of these" comes from: the `prefer` split, indexed patients, or nowhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from indexing import Encoder, Index, Manifest, NoveltyDetector, build_index, index_info, load_image
from indexing.routing.conformal import conformal_threshold, hold_out_patients
from tests.indexing.conftest import CorpusMaker
from tests.indexing.tiny import SAMPLES

N = 220


@pytest.fixture(scope="module")
def many() -> list[dict[str, Any]]:
    """220 indexed records of pathology, two images a patient, and 12 of radiology."""
    with (SAMPLES / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    kept: list[dict[str, Any]] = []
    for domain, number in (("pathology", N), ("radiology", 12)):
        here = [record for record in records if record["domain"] == domain and record["split"] == "train"][:number]
        kept += [dict(record, patient=f"{domain} {row // 2}", study=None) for row, record in enumerate(here)]
    return kept


def test_indexed_patients_set_it_where_no_split_does(
    tmp_path: Path, encoder: Encoder, many: list[dict[str, Any]], write_corpus: CorpusMaker, monkeypatch: Any
) -> None:
    # A third of the patients, as a fifth of 110 is hardly enough for a threshold.
    monkeypatch.setattr(
        "indexing.building.finish.hold_out_patients",
        lambda units, domains: hold_out_patients(units, domains, share=1 / 3),
    )
    index, corpus = tmp_path / "index", write_corpus(many)
    assert build_index(corpus, index, encoder).counts == {"pathology": N, "radiology": 12}
    units, domains = [record["patient"] for record in many], [record["domain"] for record in many]
    kept = hold_out_patients(units, domains, share=1 / 3)
    patients = {unit for unit, chosen in zip(units, kept, strict=True) if chosen}
    assert 19 <= len(patients) <= 50 and kept.sum() == 2 * len(patients)
    assert not kept[N:].any(), "radiology has six patients, too few to hold any out"
    vectors = encoder.embed_images([load_image(corpus.parent / record["image"]) for record in many])
    # By hand: fitted to the others, and set by these.
    rest = [domain for domain, chosen in zip(domains, kept, strict=True) if not chosen]
    detector = NoveltyDetector.fit(vectors[~kept], rest)
    with Index.open(index) as opened:
        assert opened.manifest.threshold_source == "index"
        routed = opened.classifier.predict(vectors[kept])
        here = np.array(routed) == "pathology"
        scores, owners = detector.scores(vectors[kept], routed)[here], np.array(units)[kept][here]
        expected = conformal_threshold(scores, owners, 0.05)
        assert opened.detector.thresholds[0] == pytest.approx(expected, rel=1e-3)
        assert opened.detector.units[0] == len(set(owners)) >= 19
        assert not opened.in_domain(-vectors[:1], ["pathology"]).any()
        found = opened.search("pathology", vectors[:1], 2 * N)[0]
        assert len(found) == N, "what sets the threshold is still found"
    made = Manifest.load(index)
    assert build_index(corpus, index, encoder).embedded == 0
    assert Manifest.load(index) == made
    info = index_info(index)
    assert info.threshold_source == "index"
    assert info.threshold_patients["pathology"] == len(set(owners)) and info.threshold_patients["radiology"] == 0
    # Images of the prefer split, once there are enough, take over.
    held = [dict(record, id=f"h{row}", split="prefer", patient=f"h{row}") for row, record in enumerate(many[:25])]
    build_index(write_corpus(many + held), index, encoder)
    assert Manifest.load(index).threshold_source == "prefer"
    assert index_info(index).threshold_patients["pathology"] >= 19


def test_too_few_patients_refuse_nothing_and_the_build_says_so(
    tmp_path: Path, encoder_folder: Path, many: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    corpus, index = write_corpus(many[:10]), tmp_path / "index"
    words = ["index", corpus, "--index", index, "--encoder", f"local-dir:{encoder_folder}", "--device", "cpu"]
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (
        'threshold of "none of these": refuses nothing, as the corpus has too few patients to set it by'
        in result.stderr
    )
    assert Manifest.load(index).threshold_source == "none"
    shown = CliRunner().invoke(main, ["info", "--index", str(index)], catch_exceptions=False).stdout
    assert "refuses nothing" in shown and "pathology 0 patients" in shown
    value = json.loads(CliRunner().invoke(main, ["info", "--index", str(index), "--json"]).stdout)
    assert (value["threshold_source"], value["threshold_patients"]) == ("none", {"pathology": 0})
