"""The four modes: what they compare, what they all leave out, and what a certificate knows of them."""

from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import QueryBundle
from PIL import Image

from calibration import Certificate, OutcomeTable, Policy, certify
from indexing import Encoder, Exclusion, Index, Match, load_image
from rag import Certified, PolicyPostprocessor, Question, SimilarCaseRetriever, TransformersMLLM, retrieve
from rag.retrieval.fusion import fuse_ranks
from rag.retrieval.modes import FUSED_DEPTH, MODES, SAME_IMAGE, RetrievalMode, retrieval_fingerprint
from rag.retrieval.retriever import as_node
from tests.rag.small import pipeline_of, query_image, read_records
from titrate import InputError

OTHERS = {f"other-{number}" for number in range(5)}
YES_NO = ("yes", "no")
every_mode = pytest.mark.parametrize("mode", MODES)


def ids(matches: list[Match]) -> list[str]:
    return [match.record.id for match in matches]


@pytest.fixture(scope="session")
def query(samples: Path, encoder: Encoder) -> np.ndarray:
    """The image of which the index holds seven copies, [1, d]."""
    return encoder.embed_images([load_image(query_image(samples))])


@pytest.fixture(scope="session")
def sampled(samples: Path, encoder: Encoder, index: Index) -> tuple[np.ndarray, list[str], list[str]]:
    """Six images of the sample corpus, some of them indexed, with questions: embeddings, domains and texts."""
    records = read_records(samples)[:: len(read_records(samples)) // 6][:6]
    vectors = encoder.embed_images([load_image(samples / record["image"]) for record in records])
    texts = ["Is there pneumonia?", "Are platelets visible in this field?", "Is this an axial image?"] * 2
    return vectors, index.route(vectors)[0], texts


@every_mode
@pytest.mark.parametrize("name", ["copy-3", "sibling-1", "sibling-2"])
def test_own_reports_are_left_out_though_the_question_quotes_them(
    small: Index, encoder: Encoder, query: np.ndarray, mode: RetrievalMode, name: str
) -> None:
    text = f"Report of {name}."
    assert ids(small.search("pathology", encoder.embed_texts([text]), 1, using="text")[0]) == [name]
    retriever = SimilarCaseRetriever(small, encoder, mode=mode)
    assert set(ids(retriever.similar(query, ["pathology"], [Exclusion()], 8, [text])[0])) == OTHERS


@every_mode
@pytest.mark.parametrize(
    ("own", "left"),
    [
        (Exclusion("other-1"), {"other-1"}),
        (Exclusion(None, "study-other-1"), {"other-1"}),
        (Exclusion(None, "study-other-2", "patient-other-1"), {"other-1", "other-2"}),
    ],
)
def test_what_is_named_is_left_out(
    small: Index, encoder: Encoder, query: np.ndarray, mode: RetrievalMode, own: Exclusion, left: set[str]
) -> None:
    retriever = SimilarCaseRetriever(small, encoder, mode=mode)
    found = retriever.similar(query, ["pathology"], [own], 8, ["Report of other-1."])[0]
    assert set(ids(found)) == OTHERS - left


@every_mode
def test_a_named_record_still_tells_whose_it_is(
    small: Index, encoder: Encoder, query: np.ndarray, mode: RetrievalMode
) -> None:
    """Only the record is named, not its patient: the copies and their siblings go all the same."""
    retriever = SimilarCaseRetriever(small, encoder, mode=mode)
    found = retriever.similar(query, ["pathology"], [Exclusion("copy-0")], 8, ["Report of sibling-1."])[0]
    assert set(ids(found)) == OTHERS


@every_mode
def test_a_jpeg_of_an_indexed_image_is_recognised(
    small: Index, encoder: Encoder, query: np.ndarray, samples: Path, tmp_path: Path, mode: RetrievalMode
) -> None:
    path = tmp_path / "copy.jpg"
    load_image(query_image(samples)).convert("RGB").save(path, quality=95)
    vectors = encoder.embed_images([load_image(path)])
    assert SAME_IMAGE <= float(vectors[0] @ query[0]) < 1 - 1e-6  # not the same pixels
    retriever = SimilarCaseRetriever(small, encoder, mode=mode)
    assert set(ids(retriever.similar(vectors, ["pathology"], [Exclusion()], 8, ["Is it?"])[0])) == OTHERS


@every_mode
def test_the_first_k_do_not_depend_on_the_limit(
    index: Index, encoder: Encoder, sampled: tuple[np.ndarray, list[str], list[str]], mode: RetrievalMode
) -> None:
    vectors, domains, texts = sampled
    retriever = SimilarCaseRetriever(index, encoder, mode=mode)
    own = [Exclusion()] * len(texts)
    longest = retriever.similar(vectors, domains, own, 60, texts)
    assert {len(row) for row in longest} == {60}
    for limit in (0, 1, 2, 3, 5, 8, 20):
        shorter = retriever.similar(vectors, domains, own, limit, texts)
        assert [ids(row) for row in shorter] == [ids(row[:limit]) for row in longest]


@every_mode
def test_a_batch_gives_what_single_queries_give(
    index: Index, encoder: Encoder, sampled: tuple[np.ndarray, list[str], list[str]], mode: RetrievalMode
) -> None:
    """Two questions about each of three images, one of them excluding a patient, in one batch and one by one."""
    vectors, domains, texts = sampled
    rows = [0, 1, 2, 0, 1, 2]
    own = [Exclusion(), Exclusion(), Exclusion(None, None, "nobody"), Exclusion(), Exclusion(), Exclusion()]
    retriever = SimilarCaseRetriever(index, encoder, mode=mode)
    together = retriever.similar(vectors[rows], [domains[row] for row in rows], own, 5, texts)
    for number, row in enumerate(rows):
        alone = retriever.similar(vectors[[row]], [domains[row]], [own[number]], 5, [texts[number]])[0]
        assert ids(alone) == ids(together[number])


def test_each_mode_ranks_by_its_own_cosine(
    index: Index, encoder: Encoder, sampled: tuple[np.ndarray, list[str], list[str]]
) -> None:
    vectors, domains, texts = sampled
    sought = {"image-image": ("image", vectors), "image-report": ("text", vectors)}
    sought["question-report"] = ("text", encoder.embed_texts(texts))
    rankings: list[list[Match]] = []
    for mode in MODES[:3]:
        using, queries = sought[mode]
        row = SimilarCaseRetriever(index, encoder, mode=mode).similar(
            vectors[:1], domains[:1], [Exclusion()], FUSED_DEPTH, texts[:1]
        )[0]
        own = {
            match.record.patient for match in index.search(domains[0], vectors[:1], 5)[0] if match.similarity > 0.9999
        }
        plain = index.search(domains[0], queries[:1], FUSED_DEPTH + 30, using=using)[0]  # type: ignore[arg-type]
        expected = [match for match in plain if match.record.patient not in own][:FUSED_DEPTH]
        assert ids(row) == ids(expected)
        assert [match.similarity for match in row] == pytest.approx([match.similarity for match in expected], abs=1e-6)
        rankings.append(row)
    fused = SimilarCaseRetriever(index, encoder, mode="fusion").similar(
        vectors[:1], domains[:1], [Exclusion()], 1000, texts[:1]
    )[0]
    assert ids(fused) == fuse_ranks([ids(row) for row in rankings])
    by_image, by_report, by_question = ({match.record.id: match.similarity for match in row} for row in rankings)
    for match in fused:
        assert match.similarity == {**by_question, **by_report, **by_image}[match.record.id]


def test_questions_about_one_image_share_its_searches(
    index: Index, encoder: Encoder, sampled: tuple[np.ndarray, list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[tuple[str, int]] = []
    search = index.search

    def counted(domain: str, vectors: np.ndarray, limit: int, own: object = None, using: str = "image") -> object:
        searched.append((using, len(vectors)))
        return search(domain, vectors, limit, own, using)  # type: ignore[arg-type]

    monkeypatch.setattr(index, "search", counted)
    vectors, domains, texts = sampled
    retriever = SimilarCaseRetriever(index, encoder, mode="fusion")
    retriever.similar(vectors[[-1] * 6], [domains[-1]] * 6, [Exclusion()] * 6, 8, texts)
    assert searched[0] == ("image", 1)
    assert [rows for using, rows in searched if using == "text"][:2] == [1, 6]


def test_what_a_mode_needs(small: Index, encoder: Encoder, query: np.ndarray, samples: Path) -> None:
    with pytest.raises(InputError, match=r"no retrieval mode 'best'; there are image-image, .*fusion"):
        SimilarCaseRetriever(small, encoder, mode="best")  # type: ignore[arg-type]
    for mode in ("question-report", "fusion"):
        retriever = SimilarCaseRetriever(small, encoder, mode=mode)
        for texts in (None, [" "]):
            with pytest.raises(InputError, match=f"retrieval by {mode} compares the question; give its text"):
                retriever.similar(query, ["pathology"], [Exclusion()], 3, texts)
        with pytest.raises(InputError, match="give its text"):
            retriever.retrieve(QueryBundle(query_str="", image_path=str(query_image(samples))))
        nodes = retriever.retrieve(QueryBundle(query_str="Is it?", image_path=str(query_image(samples))))
        assert {node.node_id for node in nodes} == OTHERS


def test_a_ratio_cut_needs_falling_similarities(
    index: Index, encoder: Encoder, sampled: tuple[np.ndarray, list[str], list[str]]
) -> None:
    vectors, domains, texts = sampled
    own = [Exclusion()] * len(texts)
    cut = PolicyPostprocessor(policy=Policy(8, gamma=1), logit_scale=10)
    found = SimilarCaseRetriever(index, encoder, mode="fusion").similar(vectors, domains, own, 8, texts)
    nodes = [as_node(match) for match in found[0]]
    with pytest.raises(InputError, match=r"not come in order of similarity, as after fusion.*read a fixed number"):
        cut.postprocess_nodes(nodes)
    assert PolicyPostprocessor(policy=Policy(3)).postprocess_nodes(nodes) == nodes[:3]
    found = SimilarCaseRetriever(index, encoder, mode="question-report").similar(vectors, domains, own, 8, texts)
    assert 1 <= len(cut.postprocess_nodes([as_node(match) for match in found[0]])) <= 8


@every_mode
def test_retrieving_for_a_file_equals_asking(
    small: Index, encoder: Encoder, tiny: TransformersMLLM, samples: Path, mode: RetrievalMode
) -> None:
    image = query_image(samples)
    texts = ("Is other-4 meant?", "Report of other-2.")
    questions = [
        Question(id=str(number), image=image, text=text, answer="yes", options=YES_NO, patient="patient-other-0")
        for number, text in enumerate(texts)
    ]
    found = retrieve(small, encoder, questions, 3, mode)
    with pipeline_of(small, encoder, tiny, k=3, retrieval=mode) as pipeline:
        for question, matches in zip(found.questions, found.matches, strict=True):
            answer = pipeline.ask(image, question.text, YES_NO, patient=question.patient)
            assert [context.record for context in answer.contexts] == ids(list(matches))


def test_a_certificate_of_another_mode_is_refused(small: Index, encoder: Encoder, tiny: TransformersMLLM) -> None:
    table = OutcomeTable(["q"], ["p"], ["pathology"], np.zeros((1, 2)), np.ones((1, 2)), [["yes", "yes"]])

    def certified(fingerprints: dict[str, str]) -> Certificate:
        return certify(table, alpha=0.5, delta=0.5, fingerprints={**fingerprints, "questions": "0" * 64})

    prints = {mode: pipeline_of(small, encoder, tiny, k=0, retrieval=mode).fingerprints for mode in MODES}
    assert len({prints[mode]["retrieval"] for mode in MODES}) == len(MODES)
    promised = certified(prints["image-image"])
    assert pipeline_of(small, encoder, tiny, certificate=promised).source == Certified(promised)
    for mode in MODES[1:]:
        with pytest.raises(InputError, match=r"^the retrieval( mode)? changed since calibration; run calibrate again$"):
            pipeline_of(small, encoder, tiny, certificate=promised, retrieval=mode)
    before = {name: value for name, value in prints["image-image"].items() if name != "retrieval"}
    with pytest.raises(InputError, match=r"^the retrieval( mode)? changed since calibration"):
        pipeline_of(small, encoder, tiny, certificate=certified(before))


def test_other_constants_are_another_retrieval(monkeypatch: pytest.MonkeyPatch) -> None:
    before = retrieval_fingerprint("fusion")
    monkeypatch.setattr("rag.retrieval.modes.FUSED_DEPTH", 51)
    assert retrieval_fingerprint("fusion") != before


def test_another_image_is_not_the_same(small: Index, encoder: Encoder, samples: Path) -> None:
    vectors = encoder.embed_images([load_image(query_image(samples)), Image.new("RGB", (64, 64), "grey")])
    assert float(vectors[0] @ vectors[1]) < SAME_IMAGE
