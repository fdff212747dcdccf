"""Servers that fail, over real HTTP on loopback: one line with the fix, as many tries as promised, no key anywhere."""

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
from rag.models.server.connection import AT_ONCE
from tests.rag.openai_loopback import (
    KEY,
    TRIES,
    YES,
    Answer,
    Script,
    Served,
    a_prompt,
    failed,
    opens,
    refuses,
    said,
    serving,
)
from titrate import InputError
from titrate.parallel import in_parallel


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
    refuses(lambda: opened.score([a_prompt()], [["yes", "no"]]), "too long", "lower k", kind=InputError)


def test_request_too_large(scripted: Served, script: Script) -> None:
    script.answers = [YES, (413, b"<html>Request Entity Too Large</html>")]
    opened = opens(scripted)()
    refuses(lambda: opened.generate([a_prompt()]), "no request of this size", kind=InputError)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_that_passes_is_waited_for(scripted: Served, script: Script, status: int) -> None:
    script.answers = [YES, failed(status, "busy"), (status, b"gateway"), said("fine")]
    opened = opens(scripted)()
    assert opened.generate([a_prompt()]) == ["fine"]
    assert len(scripted.completions()) == 1 + TRIES


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


def test_no_content(scripted: Served, script: Script) -> None:
    value: Any = said("")[1]
    value["choices"][0]["message"]["content"] = None
    script.answers = [YES, (200, value)]
    assert opens(scripted)().generate([a_prompt()]) == [""]


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
