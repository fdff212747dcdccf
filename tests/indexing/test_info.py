"""An index described, and one whose vectors are on a server: built, searched, rebuilt."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexing import BuildReport, Encoder, Index, Manifest, StoreSettings, build_index, index_info
from indexing.stores.naming import collection_name
from tests.indexing.conftest import CorpusMaker
from tests.indexing.loopback import loopback
from titrate import InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
KEY = "a-secret-key"
COUNTS = {"pathology": 20, "radiology": 20}


def test_an_index_in_a_folder(built: tuple[Path, Path, BuildReport]) -> None:
    index, _, _ = built
    info, manifest = index_info(index), Manifest.load(index)
    assert info.location == str(index) and info.collections == sorted(map(collection_name, COUNTS))
    assert info.domains == COUNTS and info.records == 40
    assert (info.encoder, info.encoder_fingerprint) == (manifest.encoder, manifest.encoder_fingerprint)
    assert (info.fingerprint, info.dimension, info.quantization) == (manifest.fingerprint, 16, "none")
    assert info.vector_bytes is not None and 0 < info.vector_bytes < info.folder_bytes
    with pytest.raises(InputError, match="no index in"):
        index_info(index / "none")


def test_an_index_on_a_server(
    tmp_path: Path,
    built: tuple[Path, Path, BuildReport],
    encoder: Encoder,
    samples: list[dict[str, Any]],
    write_corpus: CorpusMaker,
) -> None:
    corpus, index = built[1], tmp_path / "served"
    queries = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    with Index.open(built[0]) as edge:
        expected = edge.search("radiology", queries, 7)
    with loopback() as (url, asked):
        store = StoreSettings(url, shards=2, replicas=1, quantization="int8")
        assert build_index(corpus, index, encoder, store=store, api_key=KEY).counts == COUNTS
        assert build_index(corpus, index, encoder, store=store, api_key=KEY).embedded == 0
        created = [body for request, body in asked if request == "PUT /collections/*"]
        assert [(body["shard_number"], body["replication_factor"]) for body in created] == [(2, 1)] * 2
        assert all(body["quantization_config"]["scalar"]["type"] == "int8" for body in created)
        indexed = {body["field_name"] for request, body in asked if request == "PUT /collections/*/index"}
        assert indexed == {"id", "study", "patient"}
        with Index.open(index, KEY) as served:
            found = served.search("radiology", queries, 7)
        assert [[match.record for match in row] for row in found] == [[m.record for m in row] for row in expected]
        for row, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose([m.similarity for m in row], [m.similarity for m in wanted], atol=1e-5)
        first = index_info(index, KEY)
        assert (first.location, first.vector_bytes, first.quantization) == (url, None, "int8")
        assert first.shards == 2 and first.replicas == 1 and len(first.collections) == 2
        # A rebuild makes new collections and drops the old ones.
        build_index(write_corpus(samples[:5]), index, encoder, store=store, api_key=KEY, rebuild=True)
        second = index_info(index, KEY)
        assert len(second.collections) == 1 and not set(second.collections) & set(first.collections)
        remaining = [request for request, _ in asked if request == "DELETE /collections/*"]
        assert len(remaining) == 2
    held = b"".join(path.read_bytes() for path in index.rglob("*") if path.is_file())
    assert KEY.encode() not in held, "the key must not be written down"
    assert json.loads((index / "manifest.json").read_text())["store"]["url"] == url
