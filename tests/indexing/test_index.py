from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexing import BuildReport, Encoder, Exclusion, Index, load_image
from titrate import InputError

Built = tuple[Path, Path, BuildReport]


def test_an_image_finds_itself_unless_its_patient_is_excluded(
    built: Built, encoder: Encoder, samples: list[dict[str, Any]]
) -> None:
    folder, corpus, _ = built
    record = next(record for record in samples if record["domain"] == "radiology" and record["split"] == "train")
    query = encoder.embed_images([load_image(corpus.parent / record["image"])])
    with Index.open(folder) as index:
        [found] = index.search("radiology", query, 3)
        assert found[0].record.id == record["id"]
        assert found[0].similarity == pytest.approx(1, abs=1e-5)
        similarities = [match.similarity for match in found]
        assert similarities == sorted(similarities, reverse=True)
        for exclusion in (
            Exclusion(record["id"]),
            Exclusion(study=record["study"]),
            Exclusion(patient=record["patient"]),
        ):
            [others] = index.search("radiology", query, 20, [exclusion])
            assert others and record["id"] not in {match.record.id for match in others}
            if exclusion.patient:
                assert record["patient"] not in {match.record.patient for match in others}
        [by_report] = index.search("radiology", encoder.embed_texts([record["report"]]), 1, using="text")
        # The tiny encoder reads 24 tokens, and these reports share their beginnings.
        assert by_report[0].record.report[:20] == record["report"][:20]
        assert by_report[0].similarity == pytest.approx(1, abs=1e-5)


def test_routes_by_the_classifier(built: Built, encoder: Encoder, samples: list[dict[str, Any]]) -> None:
    folder, corpus, _ = built
    images = [load_image(corpus.parent / record["image"]) for record in samples]
    with Index.open(folder) as index:
        domains, probabilities = index.route(encoder.embed_images(images))
        assert probabilities.shape == (44, 2)
        assert domains == [index.domains[i] for i in probabilities.argmax(axis=1)]
        right = sum(domain == record["domain"] for domain, record in zip(domains, samples, strict=True))
        # Blood smears and nuclei against grey radiographs: even random features tell most of them apart.
        assert right >= 35


def test_queries_that_do_not_fit_are_refused(built: Built) -> None:
    with Index.open(built[0]) as index:
        with pytest.raises(InputError, match="embed them with its encoder"):
            index.search("radiology", np.ones((1, 5), np.float32), 3)
        with pytest.raises(InputError, match="embed them with its encoder"):
            index.route(np.ones(16, np.float32))
        with pytest.raises(InputError, match="it has pathology, radiology"):
            index.search("dentistry", np.ones((1, 16), np.float32), 3)
