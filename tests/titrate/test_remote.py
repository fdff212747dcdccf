"""Trying again what may pass, and the reasons that servers state."""

from collections.abc import Callable

import pytest

from titrate import InputError, TitrateError, TransientError, retry, stated_reason


def failing(*errors: Exception) -> Callable[[], str]:
    """An action that raises these one after the other, and then succeeds."""
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it slept, without what chance adds."""
    pauses: list[float] = []
    monkeypatch.setattr("titrate.remote.time.sleep", pauses.append)
    monkeypatch.setattr("titrate.remote.random.uniform", lambda low, high: low)
    return pauses


def test_what_may_pass_is_tried_again_after_each_pause(slept: list[float]) -> None:
    assert retry(failing(TransientError("a"), TransientError("b")), (0.5, 1.0, 2.0)) == "done"
    assert slept == [0.5, 1.0]


def test_a_server_may_ask_for_more_time_but_not_for_ever(slept: list[float]) -> None:
    busy = [TransientError("a", 0.1), TransientError("b", 7.0), TransientError("c", 3600.0)]
    assert retry(failing(*busy), (0.5, 1.0, 2.0)) == "done"
    assert slept == [0.5, 7.0, 60.0]


def test_the_last_failure_is_raised(slept: list[float]) -> None:
    with pytest.raises(TitrateError, match="b"):
        retry(failing(TransientError("a"), TransientError("b")), (0.5,))
    with pytest.raises(TransientError, match="a"):
        retry(failing(TransientError("a")), ())
    assert slept == [0.5]


def test_who_is_away_is_waited_for_longer(slept: list[float]) -> None:
    told: list[tuple[TransientError, float]] = []
    away = [TransientError(str(number), away=True) for number in range(4)]
    assert retry(failing(*away), (0.5, 1.0), away_s=(15.0,) * 3, notice=lambda *each: told.append(each)) == "done"
    assert slept == [0.5, 1.0, 15.0, 15.0] and told == list(zip(away, slept, strict=True))
    with pytest.raises(TransientError, match="busy"):
        retry(failing(away[0], away[1], TransientError("busy")), (0.5, 1.0), away_s=(15.0,) * 3)


def test_many_who_wait_do_not_come_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("titrate.remote.time.sleep", pauses.append)
    for _ in range(20):
        retry(failing(TransientError("busy")), (8.0,))
    assert all(8 <= pause <= 10 for pause in pauses) and len(set(pauses)) > 10


def test_other_failures_are_raised_at_once(slept: list[float]) -> None:
    for error in (InputError("x"), TitrateError("x"), KeyError("x")):
        with pytest.raises(type(error)):
            retry(failing(error), (0.5, 1.0))
    assert slept == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"status": {"error": "no such collection"}}', "no such collection"),
        (b'{"error": "flat"}', "flat"),
        (b'{"status": 502}', '{"status": 502}'),
        (b'{"error": ""}', '{"error": ""}'),
        (b"[1]", "[1]"),
        (b"\xff gateway", "\ufffd gateway"),
        (b"", ""),
    ],
)
def test_reasons(content: bytes, reason: str) -> None:
    assert stated_reason(content, ("status", "error")) == reason
