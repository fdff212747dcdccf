"""The reports that would be retrieved for a record's image, from a real index of a world's train split."""

import json
from pathlib import Path
from typing import Any

from indexing import CorpusOptions, Encoder, Exclusion, Index, build_index
from rag import SimilarCaseRetriever
from samples.build import archive as data
from samples.build.sequences import MAX_K


def retrieved_reports(source: Path, encoder_folder: Path, work: Path, records: list[dict[str, Any]]) -> list[list[str]]:
    """The reports that would be retrieved for each record's image, most similar first, one list a record.

    Parameters
    ----------
    source, encoder_folder
        The data folder, and the encoder to retrieve with.
    work
        Folder for the index.
    records
        A world's records; those of the train split are indexed. A record's own patient is never retrieved for it.
    """
    encoder = Encoder.open(f"local-dir:{encoder_folder}")
    corpus = work / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records if record["split"] == "train"))
    build_index(corpus, work / "index", encoder, CorpusOptions(root=source))
    with Index.open(work / "index") as index:
        retriever = SimilarCaseRetriever(index, encoder)
        reports: list[list[str]] = []
        for start in range(0, len(records), 256):
            chunk = records[start : start + 256]
            vectors = encoder.embed_images([data.read_image(source / record["image"]) for record in chunk])
            own = [Exclusion(record["id"], record["study"], record["patient"]) for record in chunk]
            matches = retriever.similar(vectors, index.route(vectors)[0], own, MAX_K)
            reports += [[match.record.report for match in found] for found in matches]
    return reports
