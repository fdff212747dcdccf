"""Losses by name, and the fingerprint by which a changed one is known."""

from pathlib import Path

import pytest

from rag import load_loss, loss_fingerprint


def test_the_fingerprint_follows_what_computes_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module, names = tmp_path / "own_loss_of_a_test.py", tmp_path / "names.txt"
    module.write_text("def half(answer, reference):\n    return 0.5\n", encoding="utf-8")
    names.write_text("mass\n", encoding="utf-8")
    losses = ["tokens", "findings", f"findings:{names}", "own_loss_of_a_test:half"]
    before = [loss_fingerprint(name) for name in losses]
    assert len(set(before)) == len(losses)
    assert before == [loss_fingerprint(name) for name in losses]
    assert load_loss(losses[-1])("a", "b") == 0.5
    module.write_text("def half(answer, reference):\n    return 0.25\n", encoding="utf-8")
    names.write_text("nodule\n", encoding="utf-8")
    after = [loss_fingerprint(name) for name in losses]
    assert [was == now for was, now in zip(before, after, strict=True)] == [True, True, False, False]
