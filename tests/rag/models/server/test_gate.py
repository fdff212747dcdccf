"""How many requests are made at once: half as many for a server that has too much to do, and one more by and by."""

import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from rag import OpenAIMLLM
from rag.models.server.gate import Gate
from tests.rag.openai_loopback import YES, Answer, a_prompt, failed, said, serving


def test_the_limit_by_hand() -> None:
    gate = Gate()
    with ExitStack() as inside:
        for _ in range(16):
            inside.enter_context(gate.passing())
        gate.overloaded()  # 16 are inside, all let in together: they halve it once
        assert gate.limit == 8
        gate.overloaded()
        assert gate.limit == 8
    for _ in range(7):
        gate.answered()
    assert gate.limit == 8
    gate.answered()
    assert gate.limit == 9
    for limit in (4, 2, 1, 1):
        gate.overloaded()
        assert gate.limit == limit
    for _ in range(200):
        gate.answered()
    assert gate.limit == 16


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_with_room_for_three(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Before, sixteen at a time knocked again and again, and the five tries of one of 60 ran out."""
    monkeypatch.setattr("rag.models.server.connection.PAUSES_S", (0.02, 0.04, 0.08, 0.16, 0.32))
    under_way, refused, lock = 0, 0, threading.Lock()

    def complete(body: Any) -> Answer:
        nonlocal under_way, refused
        with lock:
            if under_way >= 3:
                refused += 1
                return failed(status, "too many requests")
            under_way += 1
        time.sleep(0.03)
        with lock:
            under_way -= 1
        return YES if body.get("logprobs") else said(body["messages"][0]["content"][1]["text"])

    with serving(complete) as running:
        opened = OpenAIMLLM.open(running.url)
        texts = [f"number {number}" for number in range(60)]
        assert opened.generate([a_prompt(text) for text in texts]) == texts
    assert 0 < refused < 60
