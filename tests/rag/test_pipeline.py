"""Asking: what decides k, what a certificate covers, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from calibration import Certificate, DomainResult, QuestionKind
from indexing import DECODING_VERSION, Encoder, ImageView, Index
from rag import Answer, Certified, Pipeline, PromptTemplate, TransformersMLLM, answer_json, answer_page
from tests.rag.small import pipeline_of, query_image
from tests.results import domain_result
from titrate import InputError, NothingCertifiedError

YES_NO = ["yes", "no"]
CertificateMaker = Callable[..., Certificate]


def result(k: int | None) -> DomainResult:
    """Three k tried, of which the given one, or none, is certified."""
    return domain_result([0.1 if tried == k else 0.3 for tried in range(3)], () if k is None else (k,))


@pytest.fixture
def opened(small: Index, encoder: Encoder, tiny: TransformersMLLM) -> Callable[..., Pipeline]:
    return lambda **settings: pipeline_of(small, encoder, tiny, **settings)


@pytest.fixture
def certificate(opened: Callable[..., Pipeline]) -> Certificate:
    """Two reports in pathology, nothing in radiology."""
    return Certificate(
        alpha=0.2,
        delta=0.1,
        unit="patient",
        p_value="wsr",
        procedure="bonferroni",
        fingerprints={**opened(k=0).fingerprints, "questions": "0" * 64},
        versions={"titrate": "0"},
        created="2026-01-01T00:00:00+00:00",
        domains={"pathology": result(2), "radiology": result(None)},
        outcomes="0",
        questions={"pathology": QuestionKind.collect([("p1", "Is it?", ("no", "yes"))])},
    )


@pytest.fixture(scope="session")
def image(samples: Path) -> Path:
    return query_image(samples)


def test_k_by_hand(opened: Callable[..., Pipeline], image: Path) -> None:
    answer = opened(k=2).ask(image, "Is it?", YES_NO)
    assert (answer.k, answer.domain, answer.certified) == (2, "pathology", False)
    assert answer.statement == "Not certified: k = 2 was set by hand."
    assert [context.number for context in answer.contexts] == [1, 2]
    assert answer.prompt == PromptTemplate().render("Is it?", YES_NO, [context.report for context in answer.contexts])
    assert answer.contexts[0].similarity >= answer.contexts[1].similarity
    assert answer.probabilities is not None
    assert list(answer.probabilities) == YES_NO
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.text == max(answer.probabilities, key=lambda option: dict(answer.probabilities or {})[option])
    assert 0.5 <= answer.domain_probability <= 1


def test_k_beyond_the_collection_reads_all(opened: Callable[..., Pipeline], image: Path) -> None:
    assert opened(k=50).ask(image, "Is it?", YES_NO).k == 5


def test_no_contexts(opened: Callable[..., Pipeline], image: Path) -> None:
    answer = opened(k=0).ask(image, "Is it?", YES_NO)
    assert answer.contexts == ()
    assert "Report [" not in answer.prompt


def test_patient_and_study_are_left_out(opened: Callable[..., Pipeline], image: Path) -> None:
    answer = opened(k=5).ask(image, "Is it?", YES_NO, patient="patient-other-1", study="study-other-2")
    assert {context.record for context in answer.contexts} == {"other-0", "other-3", "other-4"}


def test_the_certificate_decides(opened: Callable[..., Pipeline], certificate: Certificate, image: Path) -> None:
    answer = opened(certificate=certificate).ask(image, "Is it?", YES_NO)
    assert (answer.k, answer.certified) == (2, True)
    assert answer.statement == certificate.sentence("pathology")
    by_hand = opened(certificate=certificate, k=1).ask(image, "Is it?", YES_NO)
    assert (by_hand.k, by_hand.certified) == (1, False)


def test_another_kind_is_not_certified(opened: Callable[..., Pipeline], certificate: Certificate, image: Path) -> None:
    assert opened(certificate=certificate).ask(image, "is IT", ["No.", " YES"]).certified
    football = opened(certificate=certificate).ask(image, "Is it football?", YES_NO)
    assert not football.certified and "of another kind" in football.statement


def test_free_text_is_not_certified(opened: Callable[..., Pipeline], certificate: Certificate, image: Path) -> None:
    answer = opened(certificate=certificate).ask(image, "What is it?")
    assert (answer.k, answer.certified, answer.probabilities) == (2, False, None)
    assert "free text" in answer.statement
    assert "Options:" not in answer.prompt


def test_nothing_certified_for_the_domain(
    opened: Callable[..., Pipeline], certificate: Certificate, image: Path
) -> None:
    nothing = replace(certificate, domains={"pathology": result(None), "radiology": result(1)})
    with pytest.raises(NothingCertifiedError, match=r"In pathology \(images routed there.*\), nothing is certified"):
        opened(certificate=nothing).ask(image, "Is it?", YES_NO)
    with pytest.raises(InputError, match="covers radiology, not pathology"):
        opened(certificate=replace(nothing, domains={"radiology": result(1)})).ask(image, "Is it?", YES_NO)


@pytest.mark.parametrize("changed", ["encoder", "index", "prompt", "mllm"])
def test_a_certificate_of_another_system_is_refused(
    opened: Callable[..., Pipeline], certificate: Certificate, changed: str
) -> None:
    other = replace(certificate, fingerprints={**certificate.fingerprints, changed: "f" * 64})
    word = {"mllm": "model or its adapter"}.get(changed, changed)
    with pytest.raises(InputError, match=f"the {word} changed since calibration; run calibrate again"):
        opened(certificate=other)


def test_another_prompt_voids_the_certificate(opened: Callable[..., Pipeline], certificate: Certificate) -> None:
    with pytest.raises(InputError, match="the prompt changed since calibration"):
        opened(certificate=certificate, prompt=PromptTemplate(max_report_tokens=100))


def test_another_index_voids_the_certificate(
    index: Index, encoder: Encoder, tiny: TransformersMLLM, certificate: Certificate
) -> None:
    with pytest.raises(InputError, match="the index changed since calibration"):
        pipeline_of(index, encoder, tiny, certificate=certificate)


def test_neither_k_nor_certificate(opened: Callable[..., Pipeline]) -> None:
    with pytest.raises(InputError, match="give a certificate, or k to go without a guarantee"):
        opened()
    with pytest.raises(InputError, match="k is -1; give 0 or more"):
        opened(k=-1)


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ("  ", YES_NO, "question is empty"),
        ("Is it?", ["yes"], "at least two options, all different"),
        ("Is it?", [], "at least two options"),
        ("Is it?", ["yes", "no", "yes "], "all different"),
        ("Is it?", ["yes", " "], "at least two options"),
    ],
)
def test_unsound_questions(
    opened: Callable[..., Pipeline], image: Path, question: str, options: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        opened(k=0).ask(image, question, options)


def test_unreadable_images(opened: Callable[..., Pipeline], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read image"):
        opened(k=0).ask(tmp_path / "none.png", "Is it?", YES_NO)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match="is not PNG, JPEG, TIFF, WebP or DICOM"):
        opened(k=0).ask(tmp_path / "text.png", "Is it?", YES_NO)


def test_open_loads_everything_and_closes(
    index_folder: Path, tiny_folder: Path, tmp_path: Path, judged: list[object]
) -> None:
    Image.new("RGB", (64, 48), (120, 60, 90)).save(tmp_path / "plain.png")
    with Pipeline.open(index_folder, mllm=str(tiny_folder), k=1, device="cpu", out_of_domain="search") as pipeline:
        assert isinstance(pipeline.ask(tmp_path / "plain.png", "Is it?", YES_NO), Answer)


def test_open_refuses_what_is_not_there(index_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no index in"):
        Pipeline.open(tmp_path, mllm=str(tiny_folder), k=1)
    with pytest.raises(InputError, match="no model in"):
        Pipeline.open(index_folder, mllm=str(tmp_path / "none"), k=1)
    with pytest.raises(InputError, match=r"cannot read .*none\.json"):
        Pipeline.open(index_folder, mllm=str(tiny_folder), certificate=tmp_path / "none.json")
    with pytest.raises(InputError, match="no encoder in"):
        Pipeline.open(index_folder, mllm=str(tiny_folder), k=1, encoder=f"local-dir:{tmp_path}")
    with pytest.raises(InputError, match="nothing says how many reports to read"):
        Pipeline.open(index_folder, mllm=str(tiny_folder))


def test_an_answer_as_json_and_as_a_page(opened: Callable[..., Pipeline], image: Path) -> None:
    answer = opened(k=1).ask(image, "Is it?", YES_NO)
    value = answer_json(answer, with_prompt=True)
    assert (value["answer"], value["k"], value["prompt"]) == (answer.text, 1, answer.prompt)
    assert value["contexts"][0]["record"] == answer.contexts[0].record
    page = answer_page(answer, with_prompt=False)
    for part in (f"Answer: {answer.text}", "pathology", answer.contexts[0].record, "Not certified"):
        assert part in page
    assert "Question: Is it?" not in page
    assert all(line in answer_page(answer, with_prompt=True) for line in answer.prompt.splitlines())


LONG_REPORT = (
    "TECHNIQUE: upright, at full inspiration, in two planes, as is usual here.\n"
    "FINDINGS:\n\nLarge left-sided effusion.\n\nIMPRESSION: Effusion."
)


@pytest.fixture
def long_reports(opened: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pipeline]:
    """Pipelines for which every second case that is found has a long report with an image token in it."""
    report = LONG_REPORT.replace("Large", "<image>Large")

    def change(pipeline: Pipeline) -> Pipeline:
        found = pipeline.system.retrieve

        def longer(*arguments: Any) -> Any:
            retrieved = found(*arguments)
            matches = tuple(
                replace(match, record=replace(match.record, report=report)) if row % 2 else match
                for row, match in enumerate(retrieved.matches[0])
            )
            return replace(retrieved, matches=(matches,))

        monkeypatch.setattr(pipeline.system, "retrieve", longer)
        return pipeline

    return lambda **settings: change(opened(**settings))


def test_what_is_shown_is_what_was_read(
    long_reports: Callable[..., Pipeline], tiny: TransformersMLLM, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own input, the prompt shown, the contexts, the JSON and the page hold the same words."""
    given: list[str] = []
    render = TransformersMLLM.render

    def spied(self: TransformersMLLM, text: str) -> str:
        given.append(text)
        return render(self, text)

    monkeypatch.setattr(TransformersMLLM, "render", spied)
    answer = long_reports(k=2, prompt=PromptTemplate(max_report_tokens=50)).ask(image, "Is it?", YES_NO)
    monkeypatch.undo()
    assert given[0] == answer.prompt
    first, second = answer.contexts
    assert (first.cut, second.cut) == (False, True)
    assert second.report == "… FINDINGS: Large left-sided effusion. IMPRESSION: Effusion."
    lines = answer.prompt.splitlines()
    assert lines[1:3] == [f"Report [1]: {first.report}", f"Report [2]: {second.report}"]
    assert tiny.without_special_tokens(answer.prompt) == answer.prompt, "the model takes nothing more out"
    assert [context["report"] for context in answer_json(answer, with_prompt=False)["contexts"]] == [
        first.report,
        second.report,
    ]
    assert answer_json(answer, with_prompt=False)["contexts"][1]["cut"] is True
    page = answer_page(answer, with_prompt=False)
    assert " ".join(second.report.split()) in " ".join(page.split())
    assert "Reports read: 2; 1 of them cut, as … shows (see --max-report-tokens)" in page
    assert f"[2] {second.record} (similarity {second.similarity:.3f}, cut)" in page


def test_a_report_that_fits_is_read_whole(long_reports: Callable[..., Pipeline], image: Path) -> None:
    answer = long_reports(k=2, prompt=PromptTemplate(max_report_tokens=500)).ask(image, "Is it?", YES_NO)
    assert answer.contexts[1].report == " ".join(LONG_REPORT.split())
    assert "cut" not in answer_page(answer, with_prompt=False)


def test_a_long_word_is_shown_as_it_was_read(opened: Callable[..., Pipeline], image: Path) -> None:
    answer = opened(k=1).ask(image, "Is it?", YES_NO)
    report = "No left-" + "sided " * 30 + "a" * 200 + " effusion."
    shown = replace(answer, contexts=(replace(answer.contexts[0], report=report),))
    assert report in " ".join(answer_page(shown, with_prompt=False).split())


def test_another_window_voids_the_certificate(opened: Callable[..., Pipeline], certificate: Certificate) -> None:
    assert opened(certificate=certificate).source == Certified(certificate)
    with pytest.raises(InputError, match="the window, frame or decoding of images changed since calibration"):
        opened(certificate=certificate, view=ImageView(window=(40.0, 400.0)))


def test_free_text_is_certified_only_where_open_questions_were_calibrated(
    opened: Callable[..., Pipeline], certificate: Certificate, image: Path
) -> None:
    kinds = {"pathology": QuestionKind.collect([("p1", "What is it?", None)])}
    with_open = replace(certificate, questions=kinds)
    assert not opened(certificate=with_open).ask(image, "What is it?", YES_NO).certified, (
        "open vouches for no closed one"
    )
    assert not opened(certificate=certificate).ask(image, "What is it?").certified
    assert opened(certificate=with_open).ask(image, "What is it?").certified


def test_another_decoding_voids_certificates_and_known_outcomes(
    small: Index, encoder: Encoder, tiny: TransformersMLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pipeline_of(small, encoder, tiny, k=0) as pipeline:
        before = pipeline.fingerprints
        monkeypatch.setattr("rag.system.DECODING_VERSION", DECODING_VERSION + 1)
        changed = {name for name, value in pipeline.fingerprints.items() if before[name] != value}
    assert changed == {"view"}, "images asked about are decoded otherwise, and nothing else changed"
