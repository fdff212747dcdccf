"""An index as LlamaIndex's vector store, on Edge and on a server: the same ids, order and scores as our own search."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import QueryBundle, VectorStoreIndex
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from indexing import BuildReport, Encoder, Index, LlamaStore, Match, StoreSettings, build_index, load_image
from tests.indexing.loopback import loopback
from titrate import InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
EQ, NE, IN, NIN = FilterOperator.EQ, FilterOperator.NE, FilterOperator.IN, FilterOperator.NIN


@pytest.fixture(params=["edge", "server"])
def index(
    request: pytest.FixtureRequest, tmp_path: Path, encoder: Encoder, built: tuple[Path, Path, BuildReport]
) -> Iterator[Index]:
    folder, corpus, _ = built
    if request.param == "edge":
        with Index.open(folder) as opened:
            yield opened
        return
    with loopback() as (url, _):
        build_index(corpus, tmp_path / "served", encoder, store=StoreSettings(url))
        with Index.open(tmp_path / "served") as opened:
            yield opened


@pytest.fixture
def query(encoder: Encoder, samples: list[dict[str, Any]], built: tuple[Path, Path, BuildReport]) -> list[float]:
    """The embedding of a held-out image."""
    held_out = next(record for record in samples if record["split"] != "train")
    row: list[float] = encoder.embed_images([load_image(built[1].parent / held_out["image"])])[0].tolist()
    return row


def filters(*parts: tuple[str, FilterOperator, Any]) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=k, operator=o, value=v) for k, o, v in parts])


def own(index: Index, query: list[float], using: Any = "image") -> list[Match]:
    return index.search("radiology", np.array([query], np.float32), 20, using=using)[0]


def agree(nodes: list[NodeWithScore], matches: list[Match]) -> bool:
    """Whether ids, order and scores are the same."""
    same = [node.node_id for node in nodes] == [match.record.id for match in matches]
    return same and [node.score for node in nodes] == pytest.approx([m.similarity for m in matches], abs=1e-6)


@pytest.mark.parametrize("using", ["image", "text"])
def test_retrieves_as_our_own_search_does(index: Index, encoder: Encoder, query: list[float], using: Any) -> None:
    store = VectorStoreIndex.from_vector_store(LlamaStore(index, "radiology", using), embed_model=encoder)
    expected = own(index, query, using)
    assert len(expected) == 20
    for limit in (1, 3, 20):
        found = store.as_retriever(similarity_top_k=limit).retrieve(QueryBundle("", embedding=query))
        assert agree(found, expected[:limit])
    retriever = store.as_retriever(similarity_top_k=3)
    assert agree(asyncio.run(retriever.aretrieve(QueryBundle("", embedding=query))), expected[:3])
    # A query in words goes through the encoder's text tower.
    words = own(index, encoder.embed_texts(["a scan of the head"])[0].tolist(), using)[:3]
    assert agree(retriever.retrieve("a scan of the head"), words)


def test_what_a_node_holds(
    index: Index, encoder: Encoder, query: list[float], built: tuple[Path, Path, BuildReport]
) -> None:
    [best, *_] = own(index, query)
    ask = VectorStoreQuery(query_embedding=query, similarity_top_k=1)
    plain = LlamaStore(index, "radiology").query(ask)
    assert plain.nodes is not None
    assert plain.ids == [best.record.id] and plain.similarities == pytest.approx([best.similarity], abs=1e-6)
    [node] = plain.nodes
    assert type(node) is TextNode and node.text == best.record.report
    assert node.metadata == {
        "domain": "radiology",
        "patient": best.record.patient,
        "study": best.record.study,
        "split": "train",
        "image": best.record.image,
    }
    # Whose it is must not reach a prompt.
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert node.get_content(mode) == best.record.report
    store = LlamaStore(index, "radiology", root=built[1].parent)
    engine = VectorStoreIndex.from_vector_store(store, embed_model=encoder).as_retriever(similarity_top_k=1)
    [found] = engine.retrieve(QueryBundle("", embedding=query))
    assert isinstance(found.node, ImageNode) and found.node.text == best.record.report
    assert found.node.image_path == str((built[1].parent / best.record.image).resolve())
    with pytest.raises(InputError, match="does not exist"):
        LlamaStore(index, "radiology", root=built[0]).query(ask)


def test_filters_agree_with_filtering_by_hand(index: Index, encoder: Encoder, query: list[float]) -> None:
    everything = own(index, query)
    patients = [str(everything[row].record.patient) for row in (0, 3, 7)]
    study = str(everything[5].record.study)
    cases: list[tuple[MetadataFilters, Callable[[Match], bool]]] = [
        (filters(("patient", EQ, patients[1])), lambda m: m.record.patient == patients[1]),
        (filters(("patient", NE, patients[0])), lambda m: m.record.patient != patients[0]),
        (filters(("patient", IN, patients)), lambda m: m.record.patient in patients),
        (filters(("patient", NIN, patients)), lambda m: m.record.patient not in patients),
        (
            filters(("study", NE, study), ("patient", NIN, patients[:1])),
            lambda m: m.record.study != study and m.record.patient != patients[0],
        ),
        (filters(("patient", IN, [])), lambda m: False),
        (filters(("patient", NIN, [])), lambda m: True),
        (filters(("domain", EQ, "radiology"), ("patient", EQ, patients[2])), lambda m: m.record.patient == patients[2]),
        (filters(("domain", NE, "radiology")), lambda m: False),
        (filters(("domain", IN, ["pathology"])), lambda m: False),
        (filters(("split", EQ, "test")), lambda m: False),
        (MetadataFilters(filters=[filters(("id", EQ, everything[4].record.id))]), lambda m: m is everything[4]),
        (MetadataFilters(filters=[]), lambda m: True),
    ]
    store = VectorStoreIndex.from_vector_store(LlamaStore(index, "radiology"), embed_model=encoder)
    for asked, holds in cases:
        wanted = [match for match in everything if holds(match)]
        found = store.as_retriever(similarity_top_k=9, filters=asked).retrieve(QueryBundle("", embedding=query))
        assert agree(found, wanted[:9])
    named = [everything[row].record.id for row in (9, 2)]
    ask = VectorStoreQuery(query_embedding=query, similarity_top_k=9, node_ids=named)
    assert LlamaStore(index, "radiology").query(ask).ids == named[::-1]


def test_records_that_lack_a_field_pass_only_its_negation(tmp_path: Path, encoder: Encoder) -> None:
    from PIL import Image

    (tmp_path / "corpus").mkdir()
    for number in range(3):
        Image.new("RGB", (32, 32), (number * 80, 40, 90)).save(tmp_path / f"corpus/{number}.png")
    rows = ["image,report,patient", "0.png,One.,p", "1.png,Two.,", "2.png,Three.,q"]
    (tmp_path / "corpus/corpus.csv").write_text("\n".join(rows) + "\n")
    build_index(tmp_path / "corpus/corpus.csv", tmp_path / "index", encoder)
    with Index.open(tmp_path / "index") as opened:
        store = LlamaStore(opened, "general")

        def found(*parts: tuple[str, FilterOperator, Any]) -> set[str]:
            ask = VectorStoreQuery(query_embedding=[1.0] * 16, similarity_top_k=9, filters=filters(*parts))
            return set(store.query(ask).ids or [])

        assert found(("patient", NE, "p")) == found(("patient", NIN, ["p"])) == {"1.png", "2.png"}
        assert found(("patient", EQ, "p")) == {"0.png"}
        assert found(("domain", EQ, "general")) == {"0.png", "1.png", "2.png"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_embedding": None}, "give the query one, or an embed_model"),
        ({"query_embedding": [1.0] * 15}, "embed them with its encoder"),
        ({"mode": VectorStoreQueryMode.MMR}, "searched by embedding alone"),
        ({"doc_ids": ["a"]}, "leave out the query mode and document ids"),
        ({"filters": filters(("report", EQ, "x"))}, "cannot be filtered by 'report'; it can by id, patient"),
        ({"filters": filters(("patient", FilterOperator.GT, "x"))}, "patient > 'x' is not supported"),
        ({"filters": filters(("patient", EQ, 3))}, "patient == 3 is not supported; there are == and != with a text"),
        ({"filters": filters(("patient", IN, [3]))}, "in and nin with a list of texts"),
        ({"filters": filters(("patient", IN, "p"))}, "in and nin with a list of texts"),
        (
            {"filters": MetadataFilters(filters=filters(("id", EQ, "a")).filters, condition=FilterCondition.OR)},
            "joined by 'or'",
        ),
        (
            {"filters": MetadataFilters(filters=filters(("id", EQ, "a")).filters, condition=FilterCondition.NOT)},
            "joined by 'not'",
        ),
    ],
)
def test_what_is_not_supported_is_refused(
    built: tuple[Path, Path, BuildReport], query: list[float], change: dict[str, Any], message: str
) -> None:
    with Index.open(built[0]) as opened, pytest.raises(InputError, match=message):
        LlamaStore(opened, "radiology").query(VectorStoreQuery(**{"query_embedding": query} | change))


def test_it_only_reads(built: tuple[Path, Path, BuildReport], encoder: Encoder) -> None:
    with Index.open(built[0]) as opened:
        store = LlamaStore(opened, "radiology")
        index = VectorStoreIndex.from_vector_store(store, embed_model=encoder)
        changes: list[Callable[[], object]] = [
            lambda: index.insert_nodes([TextNode(text="Another report.")]),
            lambda: store.delete("a"),
            lambda: store.delete_nodes(["a"]),
            store.clear,
        ]
        for change in changes:
            with pytest.raises(InputError, match="changed by build_index alone"):
                change()
        assert (store.client, store.class_name()) == (opened, "TitrateStore")
        with pytest.raises(InputError, match="no domain 'chest'; it has pathology, radiology"):
            LlamaStore(opened, "chest")
        with pytest.raises(InputError, match="no vector 'sound'; there are image and text"):
            LlamaStore(opened, "radiology", "sound")  # type: ignore[arg-type]
