"""Requests that are under way together: the first failure ends them, and leaves nothing open."""

import gc
import time
import warnings
from typing import Any

import pytest
from httpcore._backends.sync import SyncBackend

from rag.models.server.connection import OpenAIServer
from tests.rag.openai_loopback import YES, Answer, failed, serving
from titrate import InputError, TitrateError
from titrate.parallel import in_parallel


def test_the_first_failure_stops_the_rest() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.01)
        if item == 3:
            raise InputError("three")
        return item * item

    assert in_parallel(work, [1, 2, 5], 2) == [1, 4, 25]
    with pytest.raises(InputError, match="three"):
        in_parallel(work, range(1000), 2)
    time.sleep(0.1)
    assert len(begun) < 20


def test_a_connection_that_is_made_after_another_request_failed_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever request arrives first fails at once, while the other is still connecting."""
    connect, begun, arrived = SyncBackend.connect_tcp, [], []  # type: tuple[Any, list[int], list[int]]

    def slowly(backend: SyncBackend, *where: Any, **how: Any) -> Any:
        begun.append(len(begun))
        if len(begun) == 2:
            time.sleep(0.5)
        return connect(backend, *where, **how)

    def first_fails(body: Any) -> Answer:
        arrived.append(len(arrived))
        return failed(404, "no such thing") if len(arrived) == 1 else YES

    monkeypatch.setattr(SyncBackend, "connect_tcp", slowly)
    with serving(first_fails) as running:
        with pytest.raises(TitrateError, match="no such thing"):
            OpenAIServer(running.url).complete([{"model": "small", "messages": []}] * 2)
        until = time.monotonic() + 10
        while len(arrived) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            gc.collect()
    assert len(arrived) == 2
    assert [str(warning.message) for warning in told if warning.category is ResourceWarning] == []
