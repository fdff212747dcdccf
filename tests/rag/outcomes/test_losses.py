"""Losses over words, losses by name, and the fingerprint by which a changed one is known."""

from pathlib import Path

import pytest

from rag import Loss, Question, load_loss, loss_fingerprint, token_loss
from rag.outcomes.score import _lost
from titrate import InputError


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


def test_a_function_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A console script does not look for modules in the working directory: the file is named as such."""
    monkeypatch.chdir(tmp_path)
    file = Path("own.py")
    file.write_text("def half(answer, reference):\n    return 0.5\n")
    assert load_loss("own.py:half")("a", "b") == 0.5
    before = loss_fingerprint("own.py:half")
    file.write_text("def half(answer, reference):\n    return 0.25\n")
    assert load_loss(f"{tmp_path}/own.py:half")("a", "b") == 0.25
    assert loss_fingerprint("own.py:half") != before
    for text in ("def half(:", "1 / 0", "raise SystemError('a\\nb')"):
        file.write_text(text)
        with pytest.raises(InputError, match=r"^no loss own.py:half: .*FILE.py:function$"):
            load_loss("own.py:half")
    for name in ("missing.py:half", "own.py:", "own.py"):
        with pytest.raises(InputError, match="no loss"):
            load_loss(name)


@pytest.mark.parametrize(
    ("answer", "reference", "loss"),
    [
        ("", "A", 1),
        ("A", "", 1),
        ("A", "A", 0),
        ("a.", "A", 0),
        ("A: Axial", "A", 1 / 3),  # precision 1/2, recall 1
        ("B: Axial", "B", 1 / 3),
        ("(A) Axial", "A", 1 / 3),
        ("A Axial", "A", 1 / 3),
        ("B Axial", "A", 1),
        ("The answer is A.", "A", 3 / 5),  # precision 1/4, recall 1
        ("The", "A", 1),
        ("influenza A virus", "influenza B virus", 1 / 3),
        ("Influenza A virus", "influenza virus", 1 / 5),
        ("A mass. The effusion", "an effusion and mass", 1 / 5),  # 2 of 2 and 2 of 3
        ("A MASS", "mass", 0),
        ("", "", 0),
    ],
)
def test_an_article_is_left_out_and_a_letter_counts(answer: str, reference: str, loss: float) -> None:
    assert token_loss(answer, reference) == pytest.approx(loss)


@pytest.mark.parametrize("loss", [lambda a, b: 1 / 0, lambda a, b: None, lambda a: 0.0, lambda a, b: [0.5]])
def test_a_loss_that_fails_names_itself_and_the_question(loss: Loss, tmp_path: Path) -> None:
    question = Question(id="q 7", image=tmp_path, text="?", options=None, answer="x")
    with pytest.raises(InputError, match=r"the loss function .*<lambda> failed at question q 7: .*; mend it"):
        _lost(loss, "yes", question)


@pytest.mark.parametrize(
    ("answer", "reference", "loss"),
    [
        ("右侧积液。", "积液", 1 / 3),  # a character is a word: precision 2/4, recall 1
        ("双肺 清晰", "双肺清晰", 0),  # was 1: no word in common
        (
            "没有积液",
            "有积液",
            1 / 3,
        ),  # of three words each (没有, 积, 液) two are shared, as of "no effusion" and "an"
        ("不是", "是", 1),
        ("いいえ。", "はい", 1),
        ("「はい」", "はい", 0),
        ("カテーテル留置", "カテーテル", 1 / 2),  # katakana is one word: precision 1/3, recall 1
        ("نَعَم", "نعم؟", 0),
        ("لا", "نعم", 1),
        ("انصـباب جنبي", "انصباب", 1 / 3),
        ("ไม่มี", "มี", 1),
        ("\uff23\uff34\u3000\uff13cm", "CT 3cm", 0),
        ("5.3 cm", "3.5 cm", 1 / 2),  # was 0: both held a 3 and a 5
        ("effusion:none", "none effusion", 0),
        ("A 型", "B 型", 1 / 2),  # no article stands before 型
        ("+", "-", 1),  # was 0: neither holds a word
        ("+", " + ", 0),
        ("Yes.", "no", 1),
    ],
)
def test_words_of_languages_without_spaces(answer: str, reference: str, loss: float) -> None:
    assert token_loss(answer, reference) == pytest.approx(loss)
    assert token_loss(reference, answer) == pytest.approx(loss)
