"""Servers on loopback: of the shipped model, and of scripted answers."""

from collections.abc import Iterator

import pytest

from rag import TransformersMLLM
from tests.rag.openai_loopback import TRIES, Script, Served, model_behind, serving


@pytest.fixture(scope="module")
def served(mllm: TransformersMLLM) -> Iterator[Served]:
    """A server of the shipped model, named small."""
    with serving(model_behind(mllm)) as running:
        yield running


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Answers for `scripted`; who asks is patient for a moment only."""
    monkeypatch.setattr("rag.models.server.connection.PAUSES_S", (0.01,) * (TRIES - 1))
    monkeypatch.setattr("rag.models.server.connection.AWAY_S", ())
    monkeypatch.setattr("rag.models.server.connection.TIMEOUT_S", 1)
    return Script()


@pytest.fixture
def scripted(script: Script) -> Iterator[Served]:
    """A server that answers as the script says."""
    with serving(script) as running:
        yield running
