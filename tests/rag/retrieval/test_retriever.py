"""Retrieval never returns the query's own image, study or patient, and loses nothing by leaving them out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from calibration import Policy
from indexing import Encoder, Exclusion, Index, load_image
from rag import PolicyPostprocessor, Question, SimilarCaseRetriever, retrieve
from rag.retrieval.modes import SAME_IMAGE
from tests.rag.small import query_image, read_records
from titrate import InputError

OTHERS = {f"other-{number}" for number in range(5)}


def found(retriever: SimilarCaseRetriever, image: Path, limit: int, own: Exclusion | None = None) -> list[str]:
    vectors = retriever.encoder.embed_images([load_image(image)])
    return [match.record.id for match in retriever.similar(vectors, ["pathology"], [own or Exclusion()], limit)[0]]


@pytest.fixture
def retriever(small: Index, encoder: Encoder) -> SimilarCaseRetriever:
    return SimilarCaseRetriever(small, encoder, limit=3)


def test_copies_and_what_belongs_to_them_are_left_out(retriever: SimilarCaseRetriever, samples: Path) -> None:
    """Seven copies stand before the others, more than are fetched to spare, and two siblings belong to them."""
    assert set(found(retriever, query_image(samples), 5)) == OTHERS


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_fewer_are_the_beginning_of_more(retriever: SimilarCaseRetriever, samples: Path, limit: int) -> None:
    image = query_image(samples)
    assert found(retriever, image, limit) == found(retriever, image, 5)[:limit]


def test_a_limit_beyond_the_collection_gives_all(retriever: SimilarCaseRetriever, samples: Path) -> None:
    assert set(found(retriever, query_image(samples), 1000)) == OTHERS
    assert found(retriever, query_image(samples), 0) == []


def test_named_patient_and_study_are_left_out(retriever: SimilarCaseRetriever, samples: Path) -> None:
    own = Exclusion(None, "study-other-2", "patient-other-1")
    assert set(found(retriever, query_image(samples), 5, own)) == OTHERS - {"other-1", "other-2"}


def test_best_first_and_within_the_domain(retriever: SimilarCaseRetriever, samples: Path) -> None:
    vectors = retriever.encoder.embed_images([load_image(query_image(samples))] * 2)
    near, far = retriever.similar(vectors, ["pathology", "radiology"], [Exclusion()] * 2, 5)
    similarities = [match.similarity for match in near]
    assert similarities == sorted(similarities, reverse=True)
    assert max(similarities) < SAME_IMAGE
    assert [match.record.id for match in far] == ["far"]


def test_no_test_question_meets_its_own(index: Index, encoder: Encoder, judged: list[Question]) -> None:
    retrieved = retrieve(index, encoder, judged, 8)
    assert {question.id for question in retrieved.questions} == {question.id for question in judged}
    for question, domain, matches in zip(retrieved.questions, retrieved.domains, retrieved.matches, strict=True):
        assert domain == question.domain
        assert len(matches) == 8
        assert question.record not in [match.record.id for match in matches]
        assert question.patient not in [match.record.patient for match in matches]
        assert question.study not in [match.record.study for match in matches]
        assert {match.record.split for match in matches} == {"train"}


def test_an_indexed_image_meets_nothing_of_its_own(index: Index, encoder: Encoder, samples: Path) -> None:
    """Asked about without saying whose they are: several images of patients who have several in the index."""
    train = [record for record in read_records(samples) if record["split"] == "train"]
    patients = [record["patient"] for record in train]
    several = [record for record in train if patients.count(record["patient"]) > 1][:6] or train[:6]
    vectors = encoder.embed_images([load_image(samples / record["image"]) for record in several])
    retriever = SimilarCaseRetriever(index, encoder)
    matches = retriever.similar(vectors, [record["domain"] for record in several], [Exclusion()] * len(several), 8)
    for record, row in zip(several, matches, strict=True):
        assert len(row) == 8
        assert record["patient"] not in [match.record.patient for match in row]
        assert record["id"] not in [match.record.id for match in row]


def test_questions_that_share_an_image_but_not_the_patient(small: Index, encoder: Encoder, samples: Path) -> None:
    """Each keeps its own exclusion, though the image is the same file."""
    first = Question(
        id="1",
        image=query_image(samples),
        text="Is it?",
        answer="yes",
        options=("yes", "no"),
        patient="patient-other-0",
    )
    second = replace(first, id="2", patient="patient-other-1")
    retrieved = retrieve(small, encoder, [first, second], 5)
    for question, matches in zip(retrieved.questions, retrieved.matches, strict=True):
        assert {match.record.id for match in matches} == OTHERS - {str(question.patient).removeprefix("patient-")}


def test_another_encoder_is_refused(small: Index, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Encoder.open(f"local-dir:{samples / 'models/encoder'}", device="cpu")
    monkeypatch.setattr(other._towers, "_fingerprint", "another")
    with pytest.raises(InputError, match=r"did not make this index.*use that one or build the index again"):
        SimilarCaseRetriever(small, other)


def test_as_a_llama_index_retriever(retriever: SimilarCaseRetriever, samples: Path) -> None:
    image = query_image(samples)
    nodes = retriever.retrieve(QueryBundle(query_str="", image_path=str(image)))
    assert [node.node_id for node in nodes] == found(retriever, image, 3)
    assert nodes[0].text == f"Report of {nodes[0].node_id}."
    assert nodes[0].metadata["domain"] == "pathology"
    assert nodes[0].score is not None and nodes[0].score < SAME_IMAGE
    for query in ("What is it?", QueryBundle(query_str="What is it?")):
        with pytest.raises(InputError, match="set image_path"):
            retriever.retrieve(query)
    with pytest.raises(InputError, match="cannot read image"):
        retriever.retrieve(QueryBundle(query_str="", image_path="nowhere.png"))


def nodes_with(*scores: float) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(id_=str(row), text="Report."), score=s) for row, s in enumerate(scores)]


def test_policies_as_llama_index_postprocessors(retriever: SimilarCaseRetriever, samples: Path) -> None:
    retrieved = retriever.retrieve(QueryBundle(query_str="", image_path=str(query_image(samples))))
    for k, kept in ((0, 0), (2, 2), (9, 3)):
        assert PolicyPostprocessor(policy=Policy(k)).postprocess_nodes(retrieved) == retrieved[:kept]
    # 0.9 - 0.8 and 0.8 - 0.2, times ten: falls of 1 and of 6.
    cut = PolicyPostprocessor(policy=Policy(8, gamma=2), logit_scale=10)
    assert len(cut.postprocess_nodes(nodes_with(0.9, 0.8, 0.2))) == 2
    assert len(PolicyPostprocessor(policy=Policy(8, gamma=2)).postprocess_nodes(nodes_with(0.9, 0.8, 0.2))) == 3


def test_equal_embeddings_are_the_same_image(encoder: Encoder, samples: Path) -> None:
    """The threshold stands well above what batching changes and well below another image's similarity."""
    images = [load_image(samples / record["image"]) for record in read_records(samples)[:6]]
    batched = encoder.embed_images(images)
    alone = np.concatenate([encoder.embed_images([image]) for image in images])
    cosines = batched @ alone.T
    assert 1 - np.diag(cosines).min() < (1 - SAME_IMAGE) / 3
    assert (cosines - 2 * np.eye(6)).max() < SAME_IMAGE
