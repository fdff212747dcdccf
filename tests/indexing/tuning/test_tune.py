"""Whole runs on a tiny encoder: what is written, killed and taken up, nothing gained, a full disk, refused."""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from indexing import Encoder, Manifest, Recall, TuningResult, TuningSettings, build_index, tune_encoder
from tests.command_line import Run, refused
from tests.full_disk import no_file_above
from tests.indexing.tuning.conftest import write_plates
from titrate import InputError, TitrateError

SETTINGS = TuningSettings(epochs=6, batch_size=8, hold_out=0.25, learning_rate=3e-3, patience=9)
WEIGHTS = "open_clip_model.safetensors"
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["indexing.tuning.tune"])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are rounded by how many threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tuned(plates: Path, base: str, tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return tune_encoder(plates, base, tmp_path_factory.mktemp("tuned") / "encoder", SETTINGS, device="cpu")


def test_patients_unseen_find_their_reports(tuned: TuningResult, base: str) -> None:
    """Four reports, of which ages make no others, so that only recall@1 tells."""
    assert (tuned.records, tuned.held_out, tuned.patients, tuned.held_out_patients) == (24, 8, 24, 8)
    assert tuned.before.at.keys() == {1}
    assert tuned.after.mean >= tuned.before.mean + 0.25
    assert tuned.improved and tuned.step % 3 == 0
    assert len(tuned.losses) == 18
    opened = Encoder.open(f"local-dir:{tuned.folder}", device="cpu")
    assert opened.fingerprint == tuned.fingerprint != Encoder.open(base, device="cpu").fingerprint
    names = {"README.md", "open_clip_config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in tuned.folder.iterdir()} == names, "no checkpoint is left, nothing is pickled"
    assert load_file(tuned.folder / WEIGHTS).keys() == load_file(Path(base.partition(":")[2]) / WEIGHTS).keys()


def test_what_cannot_be_read_is_skipped_counted_and_listed(tuned: TuningResult) -> None:
    assert (tuned.skipped, tuned.other_split) == (2, 2)
    listed = Path(f"{tuned.folder}.skipped.jsonl")
    assert listed.stat().st_mode & 0o777 == 0o600
    lines = listed.read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["mute", "torn"]
    assert [problem.line for problem in tuned.problems] == [34, 33]


def test_the_card_names_nobody_and_no_place(tuned: TuningResult, base: str) -> None:
    card = (tuned.folder / "README.md").read_text()
    assert "trained on 24 records of 24 patients" in card and "- seed: 0" in card
    assert f"| before | {tuned.before.mean:.3f} |" in card and f"| after | {tuned.after.mean:.3f} |" in card
    assert "Not for" in card and "not a medical device" in card
    for name in ("README.md", "open_clip_config.json", "tokenizer_config.json"):
        written = (tuned.folder / name).read_text()
        assert not any(f"{word}{end}" in written for word in ("P13", "r13", "P-test") for end in (" ", '"', ",", "."))
        assert str(tuned.folder.parent) not in written and str(Path(base.partition(":")[2]).parent) not in written


def test_an_index_of_the_old_encoder_is_refused(tuned: TuningResult, base: str, tmp_path: Path) -> None:
    """And one that is built again is another, so that no certificate of the old one fits."""
    corpus = write_plates(tmp_path / "few", 8)
    build_index(corpus, tmp_path / "index", Encoder.open(base, device="cpu"))
    old = Manifest.load(tmp_path / "index")
    new = Encoder.open(f"local-dir:{tuned.folder}", device="cpu")
    with pytest.raises(InputError, match="encoder"):
        build_index(corpus, tmp_path / "index", new)
    build_index(corpus, tmp_path / "index", new, rebuild=True)
    made = Manifest.load(tmp_path / "index")
    assert made.fingerprint != old.fingerprint


def _killed(corpus: Path, base: str, out: Path) -> None:
    """Run in a child: dies without a word at the seventh step, of which the fourth to sixth made a checkpoint."""
    torch.set_num_threads(1)

    def die(done: int, total: int) -> None:
        if done == 7:
            os.kill(os.getpid(), signal.SIGKILL)

    tune_encoder(corpus, base, out, SETTINGS, device="cpu", progress=die)


def test_killed_and_taken_up_it_ends_in_the_same_bytes(
    tuned: TuningResult, plates: Path, base: str, tmp_path: Path
) -> None:
    out = tmp_path / "encoder"
    process = FORK.Process(target=_killed, args=(plates, base, out))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [path.name for path in (out / "checkpoints").glob("checkpoint-*")] == ["checkpoint-6"]
    (out / "checkpoints/part").mkdir()  # as if it had died within a checkpoint
    (out / "checkpoints/part/state.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="checkpoints of another run"):
        tune_encoder(plates, base, out, TuningSettings(seed=1), device="cpu")
    steps: list[int] = []
    again = tune_encoder(plates, base, out, SETTINGS, device="cpu", progress=lambda done, total: steps.append(done))
    assert steps == list(range(7, 19))
    assert (again.losses, again.after, again.step) == (tuned.losses, tuned.after, tuned.step)
    assert (again.folder / WEIGHTS).read_bytes() == (tuned.folder / WEIGHTS).read_bytes()


def test_nothing_gained_keeps_the_encoder_as_it_was(run: Run, plates: Path, base: str, tmp_path: Path) -> None:
    """Steps too small to change a rank, of all weights and of adapters."""
    for name, more in (("full", ["--full"]), ("adapters", [])):
        out = tmp_path / name
        words = ["tune", plates, "--encoder", base, "--device", "cpu", "--out", out, "--epochs", 1, *more]
        result = run(*words, "--learning-rate", 1e-30, "--hold-out", 0.25)
        assert result.exit_code == 3, result.output
        assert "tuning did not help" in result.stderr and "holds the encoder as it was" in result.stderr
        assert "2 skipped" in result.stdout and "line 33" in result.stderr
        assert "skipped.jsonl" in result.stderr
        fingerprints = {Encoder.open(each, device="cpu").fingerprint for each in (base, f"local-dir:{out}")}
        assert len(fingerprints) == 1, "what was made with the old one stays good"
        assert "Tuning did not help" in (out / "README.md").read_text()
    refused(run("tune", plates, "--encoder", base, "--out", out), "holds an adapter, a model or an encoder already")


def test_a_full_disk_is_told_and_what_is_done_stays(plates: Path, base: str, tmp_path: Path) -> None:
    settings = TuningSettings(epochs=1, batch_size=24, hold_out=0.25)
    with (
        pytest.raises(TitrateError, match=r"cannot write .*free some space and run again") as told,
        no_file_above(9_000),
    ):
        tune_encoder(plates, base, tmp_path / "o", settings, device="cpu")
    assert "\n" not in str(told.value)
    assert tune_encoder(plates, base, tmp_path / "o", settings, device="cpu").losses


def test_a_sigmoid_model_keeps_its_loss_and_its_bias(plates: Path, tmp_path: Path) -> None:
    from tests.indexing.tiny import make_encoder

    siglip = f"local-dir:{make_encoder(tmp_path / 'siglip', 1, bias=-4.0)}"
    settings = TuningSettings(full=True, epochs=1, batch_size=24, hold_out=0.25, crop=1.0)
    result = tune_encoder(plates, siglip, tmp_path / "o", settings, device="cpu")
    bias = Encoder.open(f"local-dir:{tmp_path / 'o'}", device="cpu").logit_bias
    assert bias is not None and bias == pytest.approx(-4.0, abs=0.01)
    assert result.losses[0] > 5, "a sum over 24 reports, not a mean"


def test_refused_in_a_line(run: Run, plates: Path, base: str, tmp_path: Path) -> None:
    transformers = tmp_path / "clip"
    transformers.mkdir()
    (transformers / "config.json").write_text('{"model_type": "clip"}')
    refused(run("tune", plates, "--encoder", f"local-dir:{transformers}"), "is one of transformers", "open_clip")
    refused(run("tune", plates, "--encoder", "hf:owner/name"), "is one of transformers")
    refused(run("tune", plates, "--encoder", base, "--out", plates), "CORPUS")
    (tmp_path / "none.jsonl").write_text("")
    refused(run("tune", "none.jsonl", "--encoder", base), "is empty")
    record = {"image": "0.png", "report": "A red plate.", "patient": "one", "split": "test"}
    lines = [json.dumps({"id": number, **record}) for number in range(3)]
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    refused(run("tune", "test.jsonl", "--encoder", base), "no record of split 'train'")
    lines = [line.replace('"test"', '"train"') for line in lines]
    (tmp_path / "one.jsonl").write_text("\n".join(lines))
    refused(run("tune", "one.jsonl", "--encoder", base, "--root", plates.parent), "all 3 records are of one patient")
    (tmp_path / "same.jsonl").write_text("\n".join(line.replace('"one"', str(n)) for n, line in enumerate(lines)))
    refused(run("tune", "same.jsonl", "--encoder", base, "--root", plates.parent), "one and the same report")
    assert not (tmp_path / "encoder").exists(), "nothing is left behind"


def test_damaged_weights_are_told(plates: Path, base: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base.partition(":")[2], broken)
    tensors = load_file(broken / WEIGHTS)
    tensors["logit_scale"] = tensors["logit_scale"] + float("inf")
    save_file(tensors, broken / WEIGHTS)
    with pytest.raises(TitrateError, match=r"the loss is (nan|inf) at step 1; take a lower --learning-rate"):
        tune_encoder(plates, f"local-dir:{broken}", tmp_path / "o", SETTINGS, device="cpu")
    assert not (tmp_path / "o").exists()


def test_recall_is_one_number_for_the_comparison() -> None:
    assert Recall({1: 0.2, 5: 0.6}).mean == pytest.approx(0.4)
