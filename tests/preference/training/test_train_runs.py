"""Whole runs: killed and taken up, stopped early, and by two processes."""

import json
import multiprocessing
import os
import random
import shutil
import socket
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from indexing import Checkpoints
from preference import Noise, PreferencePair, TrainingResult, TrainingSettings, train_adapter, write_pairs
from preference.training.held_out import hold_out
from preference.training.rows import TrainingRow

KILLS = 5
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["preference.training.train"])


def figures(report: TrainingResult) -> dict[str, object]:
    return {name: value for name, value in asdict(report).items() if name != "folder"}


def train_alone(pairs: Sequence[PreferencePair], mllm: str, out: Path, settings: TrainingSettings, told: Path) -> None:
    """Run in a child."""
    torch.set_num_threads(1)
    report = train_adapter(pairs, mllm, out, settings, device="cpu")
    told.write_text(json.dumps(figures(report)))


def varied(pairs: Sequence[PreferencePair], copies: int) -> list[PreferencePair]:
    """Pairs of as many patients, with weights, some with noised images."""
    return [
        replace(
            pair,
            id=f"{pair.id}/{copy}",
            patient=f"{pair.patient}/{copy}",
            weight=0.5 + copy / 2,
            rejected_noise=Noise(seed=copy, side=64) if copy % 2 else None,
        )
        for copy in range(copies)
        for pair in pairs
    ]


@pytest.mark.slow
def test_killed_at_random_moments_it_learns_the_same(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=3.0, learning_rate=5e-3, batch_size=2, hold_out=0.25, patience=99)

    def start(name: str) -> multiprocessing.context.ForkServerProcess:
        told = tmp_path / f"{name}.json"
        child = FORK.Process(
            target=train_alone, args=(varied(pairs, 2), str(mllm_folder), tmp_path / name, settings, told)
        )
        child.start()
        return child

    first = FORK.Process(target=torch.get_num_threads)  # has everything imported
    first.start()
    first.join()
    started = time.monotonic()
    whole = start("whole")
    whole.join()
    assert whole.exitcode == 0
    duration = time.monotonic() - started
    chance, killed = random.Random(7), 0
    for _ in range(KILLS):
        child = start("killed")
        child.join(chance.uniform(0.2, 0.8) * duration)
        if not (tmp_path / "killed" / "adapter_config.json").exists():  # else it is about to tell
            killed += child.exitcode is None
            child.kill()
        child.join()
    assert killed
    if not (tmp_path / "killed.json").exists():
        last = start("killed")
        last.join()
        assert last.exitcode == 0
    found, expected = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("killed", "whole"))
    assert len(expected["losses"]) == 9 and len(expected["evaluations"]) == 10
    for name in ("losses", "margins"):
        assert found[name] == pytest.approx(expected[name], abs=1e-6), name
    for a, b in zip(found["evaluations"], expected["evaluations"], strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    assert found["step"] == expected["step"]
    weights, whole_weights = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("killed", "whole"))
    for name, value in whole_weights.items():
        torch.testing.assert_close(weights[name], value, atol=1e-6, rtol=0)


def contrary(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Pairs of which the one that is held out prefers the other answer, so that its loss can only rise."""
    _, held = hold_out([TrainingRow(pair, "", "", "") for pair in pairs], 0.25, 0)
    assert len(held) == 1
    return [replace(pair, chosen="no", rejected="yes") if pair is held[0].pair else pair for pair in pairs]


STOPPING = TrainingSettings(epochs=10.0, learning_rate=1e-2, batch_size=2, hold_out=0.25, patience=3, max_steps=17)


def test_it_stops_when_held_out_pairs_say_so_and_keeps_the_best(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    out, copy = tmp_path / "adapter", tmp_path / "copy.safetensors"

    def keep(done: int, total: int) -> None:
        assert total == 17
        if done == 2:
            shutil.copy(out / "checkpoints" / "checkpoint-1" / "adapter_model.safetensors", copy)

    report = train_adapter(contrary(pairs), str(mllm_folder), out, STOPPING, device="cpu", progress=keep)
    assert (report.pairs, report.held_out, len(report.losses)) == (3, 1, 3)
    assert [evaluation.step for evaluation in report.evaluations] == [0, 1, 2, 3]
    losses = [evaluation.loss for evaluation in report.evaluations]
    assert losses == sorted(losses) and losses[0] == pytest.approx(0.693147, abs=1e-5)
    assert report.evaluations[-1].margin < 0 and report.evaluations[-1].accuracy == 0
    assert report.step == 1 and report.kept == report.evaluations[1] and not report.improved
    kept, best = load_file(out / "adapter_model.safetensors"), load_file(copy)
    assert all(torch.equal(value, best[name]) for name, value in kept.items())
    card = (out / "README.md").read_text()
    assert "1 of the pairs held out" in card and "the weights are those after step 1" in card
    assert "never fell below what it was before training" in card


@pytest.mark.parametrize(
    "settings", [STOPPING, replace(STOPPING, hold_out=0, max_steps=5)], ids=["stopped early", "at the last step"]
)
def test_interrupted_at_the_very_end_it_takes_no_further_step(
    mllm_folder: Path,
    pairs: list[PreferencePair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: TrainingSettings,
) -> None:
    chosen = contrary(pairs)
    whole = train_adapter(chosen, str(mllm_folder), tmp_path / "whole", settings, device="cpu")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_adapter(chosen, str(mllm_folder), tmp_path / "adapter", settings, device="cpu")
    (tmp_path / "adapter").rename(tmp_path / "moved")
    seen: list[int] = []
    report = train_adapter(
        chosen, str(mllm_folder), tmp_path / "moved", settings, device="cpu", progress=lambda n, _: seen.append(n)
    )
    assert not seen
    assert figures(report) == figures(whole)
    for name, value in load_file(whole.folder / "adapter_model.safetensors").items():
        assert torch.equal(load_file(report.folder / "adapter_model.safetensors")[name], value)


def test_a_checkpoint_that_was_cut_short_is_not_taken_up(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    settings = TrainingSettings(max_steps=4, batch_size=2, hold_out=0)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    out, seen = tmp_path / "adapter", list[int]()
    with pytest.raises(KeyboardInterrupt):
        train_adapter(pairs, str(mllm_folder), out, settings, device="cpu", progress=stop)
    state = out / "checkpoints" / "checkpoint-2" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    train_adapter(pairs, str(mllm_folder), out, settings, device="cpu", progress=lambda done, _: seen.append(done))
    assert seen == [2, 3, 4]


def train_together(rank: int, port: int, words: list[str], told: Path) -> None:
    """Run in a child, as `accelerate launch` starts one of two processes: these variables are what it hands on."""
    from cli import main

    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update(
        {name: str(value) for name, value in ranks.items()}, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with told.open("w") as out, redirect_stdout(out):
        main(words, standalone_mode=False)


@pytest.mark.slow
def test_two_processes_train_one_adapter(
    samples: Path, mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    many = [replace(pair, id=f"{pair.id}/{copy}") for copy in range(2) for pair in pairs]
    write_pairs(many, tmp_path / "pairs.jsonl", root=samples)
    words = ["train", str(tmp_path / "pairs.jsonl"), "--root", str(samples), "--mllm", str(mllm_folder)]
    words += ["--device", "cpu", "--hold-out", "0", "--batch-size", "1", "--accumulate", "4", "--max-steps", "3"]
    words += ["--learning-rate", "1e-2", "--out", str(tmp_path / "together"), "--merge", str(tmp_path / "merged")]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = [tmp_path / "0.txt", tmp_path / "1.txt"]
    children = [FORK.Process(target=train_together, args=(rank, port, words, told[rank])) for rank in (0, 1)]
    for child in children:
        child.start()
    for child in children:
        child.join(300)
    assert [child.exitcode for child in children] == [0, 0]
    printed, silent = (path.read_text() for path in told)
    assert printed.count("8 pairs, 3 steps") == 1 and printed.count("\n") == 1 and silent == ""
    assert {path.name for path in (tmp_path / "together").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "base_weights.json",
        "trained_on.json",
    }
    # All eight pairs are in every step, whoever has them.
    settings = TrainingSettings(hold_out=0, max_steps=3, learning_rate=1e-2)
    report = train_adapter(many, str(mllm_folder), tmp_path / "alone", settings, device="cpu")
    assert f"loss {report.losses[0]:.3f} to {report.losses[-1]:.3f}" in printed
    alone, together = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("alone", "together"))
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, atol=2e-4, rtol=0)
