"""An encoder of transformers from the command line: indexed, gone on with, asked, routed; another one is refused."""

import shutil
from pathlib import Path

import pytest
from click.testing import Result

from indexing import Manifest
from tests.command_line import Run
from tests.indexing.encoders.tiny_checkpoints import make_siglip
from tests.indexing.few import few_records, write_corpus_to
from tests.indexing.tiny import SAMPLES


def test_index_resume_route_and_ask(run: Run, tmp_path: Path) -> None:
    folder = make_siglip(tmp_path / "siglip")
    records = [{**record, "domain": None} for record in few_records() if record["split"] == "train"][::2]
    corpus = write_corpus_to(tmp_path / "corpus", records)
    zero_shot = ["--zero-shot", "pathology", "--zero-shot", "radiology"]
    first = ["index", corpus, "--encoder", "local-dir:siglip", "--device", "cpu", *zero_shot]
    begun = _done(run(*first, "--limit", 8))
    assert "8 embedded" in begun.stdout
    assert "8 of 8 reports are longer than the 16 tokens that the encoder reads" in begun.stderr
    assert "12 embedded, 8 unchanged" in _done(run("index", corpus, "--device", "cpu")).stdout
    manifest = Manifest.load(tmp_path / "index")
    assert (manifest.encoder, manifest.logit_bias) == (f"local-dir:{folder}", -3.0)
    assert sum(manifest.domains.values()) == 20
    image = SAMPLES / records[0]["image"]
    asked = [
        "ask",
        image,
        "Is it?",
        "--options",
        "yes,no",
        "--mllm",
        SAMPLES / "models/mllm",
        "--k",
        1,
        "--device",
        "cpu",
    ]
    asked += ["--device", "cpu", "--out-of-domain", "search", "--retrieve-by", "image-report"]
    assert _done(run(*asked, "--json")).stdout
    refused = run(
        "index", corpus, "--device", "cpu", "--encoder", f"local-dir:{make_siglip(tmp_path / 'other', seed=2)}"
    )
    assert refused.exit_code == 2 and "encoder" in refused.stderr
    shutil.rmtree(folder)
    gone = run(*asked)
    assert gone.exit_code == 2 and "no encoder in" in gone.stderr


@pytest.mark.parametrize("name", ["hf:owner/absent", "hf:owner", "hf:", "hf:../owner/absent"])
def test_a_name_without_an_encoder_is_told_in_a_line(run: Run, name: str) -> None:
    result = run("index", SAMPLES / "corpus.jsonl", "--encoder", name)
    assert result.exit_code == 2
    assert result.stderr.startswith("titrate: ") and "\n" not in result.stderr.strip(), result.stderr


def _done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result
