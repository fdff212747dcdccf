"""Libraries and devices that answered at calibration, held against those in use."""

from importlib.metadata import version

import pytest

from calibration import Certificate
from indexing import Encoder, Index
from rag import AnsweringSystem, Certified, Pipeline, TransformersMLLM
from tests.results import domain_result
from titrate import TitrateWarning


def certificate(system: AnsweringSystem, versions: dict[str, str]) -> Certificate:
    return Certificate(
        alpha=0.2,
        delta=0.1,
        unit="patient",
        p_value="wsr",
        procedure="bonferroni",
        fingerprints={**system.fingerprints, "questions": "0" * 64},
        versions=versions,
        created="2026-01-01T00:00:00+00:00",
        domains={"pathology": domain_result([0.1], (0,))},
        outcomes="0",
    )


def test_other_versions_and_devices_are_told_once_and_not_refused(
    small: Index, encoder: Encoder, tiny: TransformersMLLM
) -> None:
    system = AnsweringSystem(small, encoder, tiny)
    ours = system.versions
    assert set(ours) == {"torch", "transformers", "open_clip_torch", "qdrant-edge-py", "device", "encoder device"}
    assert (ours["torch"], ours["device"]) == (version("torch"), "cpu")
    computed = {"titrate": "0", "python": "2.7", "numpy": "1", "scipy": "1"}
    for silent in (computed, {**computed, **ours}):
        Pipeline(system, Certified(certificate(system, silent)))  # without a note, which would be an error here
    other = {**computed, **ours, "torch": "1.0", "device": "NVIDIA H100", "peft": "0.1"}
    del other["qdrant-edge-py"]
    with pytest.warns(TitrateWarning) as told:
        Pipeline(system, Certified(certificate(system, other)))
    assert [str(warning.message) for warning in told] == [
        "answers may be rounded otherwise than at calibration: device NVIDIA H100 then, cpu now, peft 0.1 then, none "
        f"now, qdrant-edge-py none then, {version('qdrant-edge-py')} now, torch 1.0 then, {version('torch')} now"
    ]
