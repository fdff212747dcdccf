"""A study of several views is several records with one report: a question gets to read it once."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexing import Encoder, Exclusion, Index, Match, Record, build_index, load_image
from rag import Question, SimilarCaseRetriever, TransformersMLLM, retrieve
from rag.retrieval.deduplicate import deduplicate
from rag.retrieval.modes import MODES, RetrievalMode
from tests.rag.small import pipeline_of, read_records

VIEWS = 14
"""Of one study: more than are fetched beyond any limit below."""
YES_NO = ("yes", "no")


def match(name: str, report: str, study: str | None, patient: str | None = None, similarity: float = 0.5) -> Match:
    return Match(Record(name, f"{name}.png", report, "d", patient, study), similarity)


def test_by_hand() -> None:
    first, again = match("a", "Clear.", "s1"), match("b", "Clear.", "s1", similarity=0.4)
    addendum, other = match("c", "Clear. Addendum.", "s1"), match("d", "Clear.", "s2")
    nobodys, neighbours = match("e", "Clear.", None), match("f", "Clear.", None)
    visit, revisit = match("g", "Clear.", None, "p"), match("h", "Clear.", None, "p")
    kept = [first, addendum, other, nobodys, neighbours, visit]
    assert deduplicate([first, again, addendum, other, nobodys, neighbours, visit, revisit]) == kept
    assert deduplicate([]) == []


@pytest.fixture(scope="module")
def sources(samples: Path) -> list[Path]:
    return [samples / record["image"] for record in read_records(samples) if record["domain"] == "pathology"]


@pytest.fixture(scope="module")
def views(sources: list[Path], encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Fourteen views of one study, two of another, and five cases of their own; the query's image is not among them."""
    folder = tmp_path_factory.mktemp("views") / "corpus"
    folder.mkdir()
    studies = ["many"] * VIEWS + ["pair"] * 2 + [f"single-{number}" for number in range(5)]
    lines = []
    for number, (source, study) in enumerate(zip(sources[1:], studies, strict=False)):
        shutil.copyfile(source, folder / f"{number}{source.suffix}")
        lines.append({"id": f"r{number}", "image": f"{number}{source.suffix}", "report": f"Report of {study}."})
        lines[-1] |= {"study": study, "patient": f"patient of {study}", "domain": "pathology"}
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    build_index(folder / "corpus.jsonl", folder / "index", encoder)
    with Index.open(folder / "index") as index:
        yield index


@pytest.mark.parametrize("mode", MODES)
def test_each_report_comes_once_with_its_best_view(
    views: Index, encoder: Encoder, sources: list[Path], mode: RetrievalMode
) -> None:
    query = encoder.embed_images([load_image(sources[0])])
    retriever, text = SimilarCaseRetriever(views, encoder, mode=mode), ["Report of many."]
    longest = retriever.similar(query, ["pathology"], [Exclusion()], 20, text)[0]
    assert sorted(found.record.report for found in longest) == sorted(
        f"Report of {study}." for study in ("many", "pair", *(f"single-{number}" for number in range(5)))
    )
    for limit in range(8):
        assert retriever.similar(query, ["pathology"], [Exclusion()], limit, text)[0] == longest[:limit]
    if mode == "image-image":
        everything = views.search("pathology", query, 99)[0]
        best = [next(m for m in everything if m.record.report == found.record.report) for found in longest]
        assert [found.record.id for found in longest] == [m.record.id for m in best]
        similarities = [found.similarity for found in longest]
        assert similarities == sorted(similarities, reverse=True)


def test_calibrating_and_asking_read_the_same(
    views: Index, encoder: Encoder, tiny: TransformersMLLM, sources: list[Path]
) -> None:
    question = Question(id="q", image=sources[0], text="Is it?", answer="yes", options=YES_NO, patient="somebody")
    [matches] = retrieve(views, encoder, [question], 4).matches
    for out_of_domain in ("decline", "search"):
        with pipeline_of(views, encoder, tiny, k=4, out_of_domain=out_of_domain) as pipeline:
            answer = pipeline.ask(sources[0], question.text, YES_NO, patient=question.patient)
        assert [context.record for context in answer.contexts] == [found.record.id for found in matches]
        assert len({context.report for context in answer.contexts}) == 4
