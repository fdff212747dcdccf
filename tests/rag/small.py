"""A small index of real images with known patients, copies of one image among them."""

import json
import shutil
from pathlib import Path
from typing import Any

from calibration import Certificate
from indexing import Encoder, Index, build_index
from rag import MLLM, AnsweringSystem, OutOfDomain, Pipeline
from rag.policy_source import choose_source

COPIES = 7


def read_records(samples: Path) -> list[dict[str, Any]]:
    with (samples / "corpus.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def make_index(samples: Path, folder: Path, encoder: Encoder) -> Path:
    """Index nine images of pathology and one of radiology.

    The query's image is `query_image`; the index holds it seven times, as patients copy-0 to copy-6. Of the others
    sibling-1 is another image of patient copy-0, sibling-2 another of study study-1 (copy-1's), and other-0 to other-4
    have nothing to do with it.
    """
    sources = [record for record in read_records(samples) if record["domain"] == "pathology"]
    images = [samples / record["image"] for record in sources]
    far = next(samples / record["image"] for record in read_records(samples) if record["domain"] == "radiology")
    folder.mkdir()
    corpus: list[dict[str, Any]] = []

    def add(name: str, source: Path, patient: str, study: str, domain: str = "pathology") -> None:
        shutil.copyfile(source, folder / f"{name}{source.suffix}")
        corpus.append(
            {
                "id": name,
                "image": f"{name}{source.suffix}",
                "report": f"Report of {name}.",
                "patient": patient,
                "study": study,
                "domain": domain,
            }
        )

    for number in range(COPIES):
        add(f"copy-{number}", images[0], f"patient-{number}", f"study-{number}")
    add("sibling-1", images[1], "patient-0", "study-new")
    add("sibling-2", images[2], "patient-new", "study-1")
    for number in range(5):
        add(f"other-{number}", images[3 + number], f"patient-other-{number}", f"study-other-{number}")
    add("far", far, "patient-far", "study-far", "radiology")
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in corpus), encoding="utf-8")
    build_index(path, folder / "index", encoder)
    return folder / "index"


def query_image(samples: Path) -> Path:
    """The image of which the index holds seven copies."""
    image: str = next(record["image"] for record in read_records(samples) if record["domain"] == "pathology")
    return samples / image


def pipeline_of(
    index: Index,
    encoder: Encoder,
    mllm: MLLM,
    *,
    certificate: Certificate | None = None,
    k: int | None = None,
    out_of_domain: OutOfDomain = "decline",
    **system: Any,
) -> Pipeline:
    """A pipeline of parts that are open already."""
    opened = AnsweringSystem(index, encoder, mllm, **system)
    return Pipeline(opened, choose_source(certificate, k), out_of_domain=out_of_domain)
