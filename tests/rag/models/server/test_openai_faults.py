"""Servers that fail, over real HTTP on loopback: one line with the fix, as many tries as promised, no key anywhere."""

import gzip
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from rag import OpenAIMLLM
from rag.models.base import PromptTooLongError
from rag.models.server.gate import AT_ONCE
from tests.rag.openai_loopback import (
    KEY,
    TRIES,
    YES,
    Answer,
    Script,
    Served,
    a_prompt,
    answer_token,
    failed,
    opens,
    refuses,
    said,
    serving,
)
from titrate import InputError, TitrateWarning


def test_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    started = time.monotonic()
    refuses(lambda: OpenAIMLLM.open(f"{url}#m"), url, "cannot reach", "check the address")
    assert time.monotonic() - started < 5, "somebody who mistyped the address should not have to wait"


def test_log_probabilities_that_stop(scripted: Served, script: Script) -> None:
    script.answers = [YES, said("yes")]
    opened = opens(scripted)()
    refuses(lambda: opened.score([a_prompt()], [["yes", "no"]]), scripted.url, "no longer lists log-probabilities")


@pytest.mark.parametrize(
    "reason",
    [
        "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
        "the request exceeds the available context size (4096 tokens)",
        "The decoder prompt (length 9000) is longer than the maximum model length; prompt too long",
    ],
)
def test_prompt_too_long(scripted: Served, script: Script, reason: str) -> None:
    script.answers = [YES, failed(400, reason)]
    opened = opens(scripted)()
    refuses(lambda: opened.score([a_prompt()], [["yes", "no"]]), "too long", "lower k", kind=PromptTooLongError)


def test_request_too_large(scripted: Served, script: Script) -> None:
    script.answers = [YES, (413, b"<html>Request Entity Too Large</html>")]
    opened = opens(scripted)()
    refuses(lambda: opened.generate([a_prompt()]), "no request of this size", kind=InputError)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_that_passes_is_waited_for(scripted: Served, script: Script, status: int) -> None:
    script.answers = [YES, failed(status, "busy"), (status, b"gateway"), said("fine")]
    opened = opens(scripted)()
    assert opened.generate([a_prompt()]) == ["fine"]
    looked = status in (502, 503)  # of a server that was away it is asked whether it still runs the same model
    assert len(scripted.completions()) == 1 + TRIES + looked


def test_trouble_that_stays_is_told(scripted: Served, script: Script) -> None:
    script.answers = [YES, failed(503, f"busy, {KEY}")]
    opened = opens(scripted)()
    refuses(lambda: opened.generate([a_prompt()]), scripted.url, "503: busy, ***", "try again")
    assert len(scripted.completions()) == 1 + TRIES
    script.answers = [failed(422, "what is this?")]
    refuses(lambda: opened.generate([a_prompt()]), "refuses the request (422: what is this?)")
    assert len(scripted.completions()) == 2 + TRIES, "a refusal is not asked for again"


def test_a_server_says_when_to_come_back(scripted: Served, script: Script) -> None:
    script.answers = [YES, failed(429, "slow down"), said("fine")]
    opened = opens(scripted)()
    scripted.headers = {"retry-after": "1"}
    started = time.monotonic()
    assert opened.generate([a_prompt()]) == ["fine"]
    assert 1 <= time.monotonic() - started < 5


def test_a_server_that_goes_away(scripted: Served, script: Script) -> None:
    opened = OpenAIMLLM.open(scripted.url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        opened.server.url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    refuses(lambda: opened.generate([a_prompt()]), "cannot reach", "check the address")


def test_silence(scripted: Served, script: Script) -> None:
    opened = opens(scripted)()
    script.delay = 2.0
    refuses(lambda: opened.generate([a_prompt()]), scripted.url, "did not answer within 1 s")
    assert len(scripted.completions()) == 2, "who does not answer is overloaded, and not asked again"


def test_requests_are_made_together_and_answers_keep_their_order() -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def complete(body: Any) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        text = body["messages"][0]["content"][1]["text"]
        time.sleep(0.05 if text.endswith("0") else 0.01)
        with lock:
            under_way -= 1
        return YES if body.get("logprobs") else said(text)

    with serving(complete) as running:
        opened = OpenAIMLLM.open(running.url)
        texts = [f"number {number}" for number in range(40)]
        assert opened.generate([a_prompt(text) for text in texts]) == texts
    assert 1 < most <= AT_ONCE


def test_nothing_asked(scripted: Served) -> None:
    opened = opens(scripted)()
    assert opened.generate([]) == [] and opened.score([], []) == []


def test_interrupted(scripted: Served, script: Script, samples: Path, index_folder: Path) -> None:
    """Ctrl-C while the server keeps a request waiting ends the program at once."""
    script.delay = 60
    image = next((samples / "images").rglob("*.jpg"))
    words = ["ask", image, "Is it?", "--k", "0", "--index", index_folder, "--mllm", f"{scripted.url}#small"]
    command = [sys.executable, "cli.py", *map(str, words), "--device", "cpu"]
    with subprocess.Popen(
        command,
        cwd=samples.parent,
        stderr=subprocess.PIPE,
        env={**os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job would ignore it
    ) as process:
        deadline = time.monotonic() + 300
        while not scripted.completions():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 1
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_one_line_at_the_command_line(
    scripted: Served, script: Script, samples: Path, index_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TITRATE_MLLM_API_KEY", KEY)
    image = next((samples / "images").rglob("*.jpg"))
    words = [
        "ask",
        image,
        "Is it?",
        "--k",
        0,
        "--index",
        index_folder,
        "--mllm",
        f"{scripted.url}#small",
        "--device",
        "cpu",
    ]

    def run(*more: object) -> Any:
        return CliRunner().invoke(main, [str(word) for word in (*words, *more)], catch_exceptions=False)

    script.answers = [failed(500, f"broken, {KEY}")]
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"titrate: server {scripted.url} fails (500: broken, ***); see its log and try again\n"
    script.answers = [said("Yes.")]
    result = run("--options", "yes,no")
    assert result.exit_code == 0, result.output
    [note] = result.stderr.splitlines()
    assert note.startswith("titrate: note: options are told from the words that small writes")
    assert scripted.keys == {f"Bearer {KEY}"} and KEY not in result.output


def test_another_model_under_the_same_name_is_noticed(
    scripted: Served, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.models.openai._LOOK_AFTER", 1)
    opened = opens(scripted)()
    opened.score([a_prompt()], [["yes", "no"]])
    other = said("no", [answer_token(("no", -0.1), ("yes", -3.0))])
    script.answers = [YES, other]  # to the question, and to the opening one again
    refuses(lambda: opened.score([a_prompt()], [["yes", "no"]]), "no longer runs the model", "0.905", "0.050")


def test_a_server_that_comes_back_is_waited_for(
    scripted: Served, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opens(scripted)()
    monkeypatch.setattr("rag.models.server.connection.AWAY_S", (0.02,) * 10)
    script.answers = [*[failed(503, "loading")] * (TRIES + 4), YES]
    with pytest.warns(TitrateWarning, match="went away; waiting up to ten minutes"):
        [scores] = opened.score([a_prompt()], [["yes", "no"]])
    assert scores.tolist() == pytest.approx([-0.1, -3.0])


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_reply_without_end_is_cut(
    scripted: Served, script: Script, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """Its size counts as it is unpacked: 2 MB of zeros are 2 kB when packed."""
    opened = opens(scripted)()
    monkeypatch.setattr("rag.models.server.connection.MOST_BYTES", 2**20)
    body = bytes(2_000_000)
    if packed:
        scripted.headers["content-encoding"] = "gzip"
        body = gzip.compress(body)
        assert len(body) < 2**20
    script.answers = [(200, body)]
    refuses(lambda: opened.generate([a_prompt()]), "answers with more than 1 MiB")


def test_a_reply_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps every time-out of the HTTP library from running out."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n")
                while not ended.wait(0.1):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        monkeypatch.setattr("rag.models.server.connection.TIMEOUT_S", 1)
        url, started = f"http://127.0.0.1:{listening.getsockname()[1]}/v1", time.monotonic()
        refuses(lambda: OpenAIMLLM.open(f"{url}#m"), url, "did not answer within 1 s")
        assert time.monotonic() - started < 5
        ended.set()
        thread.join(5)
