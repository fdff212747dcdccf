"""Servers that fail, over real HTTP on loopback: one line with the fix, as many tries as promised, no key anywhere."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from rag import OpenAIMLLM, Prompt, TransformersMLLM, open_mllm
from rag.models.openai_server import AT_ONCE
from tests.rag.openai_loopback import Answer, Served, answer_token, said, serving
from titrate import InputError, TitrateError, TitrateWarning
from titrate.parallel import in_parallel

KEY = "a-secret-key-of-the-hospital"
YES = said("yes", [answer_token(("yes", -0.1), ("no", -3.0))])
TRIES = 3


class Script:
    """Answers that a server gives one after another, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [YES]
        self.delay = 0.0

    def __call__(self, body: Any) -> Answer:
        time.sleep(self.delay)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setattr("rag.models.openai_server.PAUSES_S", (0.01,) * (TRIES - 1))
    monkeypatch.setattr("rag.models.openai_server.TIMEOUT_S", 1)
    return Script()


@pytest.fixture
def served(script: Script) -> Iterator[Served]:
    with serving(script) as running:
        yield running


def a_prompt(text: str = "Is it?\nOptions: yes, no") -> Prompt:
    return Prompt(Image.new("RGB", (8, 8)), text)


def refuses(action: Callable[[], object], *words: str, kind: type[TitrateError] = TitrateError) -> None:
    with pytest.raises(TitrateError) as caught:
        action()
    assert type(caught.value) is kind or kind is TitrateError
    message = str(caught.value)
    assert "\n" not in message and KEY not in message and caught.value.__cause__ is None
    for word in words:
        assert word in message


def failed(status: int, reason: str) -> Answer:
    return status, {"error": {"message": reason, "type": "Error", "code": status}}


def opens(served: Served, key: str | None = KEY) -> Callable[[], OpenAIMLLM]:
    return lambda: OpenAIMLLM.open(f"{served.url}#small", api_key=key)


def test_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    started = time.monotonic()
    refuses(lambda: OpenAIMLLM.open(f"{url}#m"), url, "cannot reach", "check the address")
    assert time.monotonic() - started < 5, "somebody who mistyped the address should not have to wait"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://", "write it like http://localhost:8000/v1#MODEL"),
        ("http://x y/v1", "write it like"),
        ("https://x/v1?key=1#m", "query"),
        ("http://x:port/v1", "write it like"),
    ],
)
def test_no_address(url: str, words: str) -> None:
    refuses(lambda: OpenAIMLLM.open(url), words, kind=InputError)


def test_a_password_in_the_address_is_not_repeated() -> None:
    refuses(lambda: OpenAIMLLM.open(f"https://me:{KEY}@x/v1#m"), "must not hold a user or password", kind=InputError)


def test_where_a_key_may_go() -> None:
    address = "http://gpu.example.org:8000/v1#m"
    refuses(lambda: OpenAIMLLM.open(address, api_key=KEY), "plain http", "use https", kind=InputError)
    for key in ("", "two words", "line\n"):
        refuses(lambda key=key: OpenAIMLLM.open("https://x/v1#m", api_key=key), "API key is empty", kind=InputError)  # type: ignore[misc]


def test_plain_http_to_another_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.models.openai_server.OpenAIServer.models", lambda self: [])
    with pytest.warns(TitrateWarning, match=r"plain http to gpu\.example\.org"), pytest.raises(InputError):
        OpenAIMLLM.open("http://gpu.example.org:8000/v1")


@pytest.mark.parametrize("status", [401, 403])
def test_key(served: Served, status: int) -> None:
    served.models = failed(status, f"no such key: {KEY}")
    refuses(opens(served, None), served.url, "wants an API key; set TITRATE_MLLM_API_KEY")
    refuses(opens(served), served.url, "refuses the")
    assert served.keys == {None, f"Bearer {KEY}"}


def test_a_key_that_a_server_repeats_is_not_repeated(served: Served, script: Script) -> None:
    script.answers = [failed(400, f"{KEY}\nis what you sent")]
    refuses(opens(served), "400: *** is what you sent", kind=InputError)


def test_unknown_model(served: Served, script: Script) -> None:
    script.answers = [failed(404, "The model `large` does not exist.")]
    refuses(lambda: OpenAIMLLM.open(f"{served.url}#large"), "`large` does not exist", "it has small", kind=InputError)
    assert len(served.completions()) == 2  # with log-probabilities, and without


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_which_model(served: Served, names: list[str]) -> None:
    served.models = (200, {"data": [{"id": name} for name in names]})
    said_so = "it has a, b" if names else "it lists none"
    refuses(lambda: OpenAIMLLM.open(served.url), "which model", said_so, "/v1#MODEL", kind=InputError)
    assert served.completions() == []


def test_a_server_without_a_list_of_models(served: Served) -> None:
    served.models = failed(404, "Not Found")
    assert opens(served)().model == "small"


@pytest.mark.parametrize("answer", [b"<html>welcome</html>", [], {"data": "x"}, {"choices": []}, "text"])
def test_something_else_answers(served: Served, script: Script, answer: Any) -> None:
    script.answers = [(200, answer)]
    refuses(opens(served), served.url, "does not answer as an OpenAI-compatible one does", "/v1")
    served.models = (200, answer)
    refuses(opens(served), served.url, "does not answer as an OpenAI-compatible one does", "/v1")


def test_a_model_that_reads_no_images(served: Served, script: Script) -> None:
    script.answers = [failed(400, "small is not a multimodal model")]
    refuses(opens(served), "not a multimodal model", "must read images", kind=InputError)


def test_log_probabilities_refused(served: Served, script: Script) -> None:
    script.answers = [failed(400, "logprobs are not supported"), said("Yes.")]
    with pytest.warns(TitrateWarning, match=r"told from the words.*400: logprobs are not supported"):
        opened = opens(served)()
    assert opened.score([a_prompt()], [["yes", "no"]])[0].tolist() == [0, -np.inf]
    assert [body.get("top_logprobs") for body in served.completions()] == [20, None, None]


def test_log_probabilities_that_stop(served: Served, script: Script) -> None:
    script.answers = [YES, said("yes")]
    opened = opens(served)()
    refuses(lambda: opened.score([a_prompt()], [["yes", "no"]]), served.url, "no longer lists log-probabilities")


def test_malformed_log_probabilities(served: Served, script: Script) -> None:
    for tokens in ([{"token": "yes"}], [{"token": "yes", "logprob": -1, "top_logprobs": []}], "text", [3]):
        script.answers = [said("yes", tokens)]
        with pytest.warns(TitrateWarning, match="told from the words"):
            opens(served)()


@pytest.mark.parametrize(
    "reason",
    [
        "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
        "the request exceeds the available context size (4096 tokens)",
        "The decoder prompt (length 9000) is longer than the maximum model length; prompt too long",
    ],
)
def test_prompt_too_long(served: Served, script: Script, reason: str) -> None:
    script.answers = [YES, failed(400, reason)]
    opened = opens(served)()
    refuses(lambda: opened.score([a_prompt()], [["yes", "no"]]), "too long", "lower k", kind=InputError)


def test_request_too_large(served: Served, script: Script) -> None:
    script.answers = [YES, (413, b"<html>Request Entity Too Large</html>")]
    opened = opens(served)()
    refuses(lambda: opened.generate([a_prompt()]), "no request of this size", kind=InputError)


def test_a_server_that_points_elsewhere_is_not_followed(served: Served, script: Script) -> None:
    with serving(lambda body: YES) as other:
        served.headers = {"location": f"{other.url}/chat/completions"}
        for status in (301, 302, 307, 308):
            script.answers = [(status, b"")]
            refuses(opens(served), f"points elsewhere ({status})")
            served.models = (status, b"")
            refuses(opens(served), f"points elsewhere ({status})")
            served.models = (200, {"data": []})
        assert other.asked == []


def test_no_proxy_is_asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda body: YES) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        opens(served)()
        assert proxy.asked == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_that_passes_is_waited_for(served: Served, script: Script, status: int) -> None:
    script.answers = [YES, failed(status, "busy"), (status, b"gateway"), said("fine")]
    opened = opens(served)()
    assert opened.generate([a_prompt()]) == ["fine"]
    assert len(served.completions()) == 1 + TRIES


def test_trouble_that_stays_is_told(served: Served, script: Script) -> None:
    script.answers = [YES, failed(503, f"busy, {KEY}")]
    opened = opens(served)()
    refuses(lambda: opened.generate([a_prompt()]), served.url, "503: busy, ***", "try again")
    assert len(served.completions()) == 1 + TRIES
    script.answers = [failed(422, "what is this?")]
    refuses(lambda: opened.generate([a_prompt()]), "refuses the request (422: what is this?)")
    assert len(served.completions()) == 2 + TRIES, "a refusal is not asked for again"


def test_a_server_says_when_to_come_back(served: Served, script: Script) -> None:
    script.answers = [YES, failed(429, "slow down"), said("fine")]
    opened = opens(served)()
    served.headers = {"retry-after": "1"}
    started = time.monotonic()
    assert opened.generate([a_prompt()]) == ["fine"]
    assert 1 <= time.monotonic() - started < 5


def test_a_server_that_goes_away(served: Served, script: Script) -> None:
    opened = OpenAIMLLM.open(served.url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        opened.server.url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    refuses(lambda: opened.generate([a_prompt()]), "cannot reach", "check the address")


def test_silence(served: Served, script: Script) -> None:
    opened = opens(served)()
    script.delay = 2.0
    refuses(lambda: opened.generate([a_prompt()]), served.url, "did not answer within 1 s")
    assert len(served.completions()) == 2, "who does not answer is overloaded, and not asked again"


def test_no_content(served: Served, script: Script) -> None:
    value: Any = said("")[1]
    value["choices"][0]["message"]["content"] = None
    script.answers = [YES, (200, value)]
    assert opens(served)().generate([a_prompt()]) == [""]


def test_nothing_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        opens(served)().score([a_prompt("of patient Smith")], [["yes", "no"]])
    text = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert KEY not in text and "Smith" not in text


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


def test_nothing_asked(served: Served) -> None:
    opened = opens(served)()
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


def test_interrupted(served: Served, script: Script, samples: Path, index_folder: Path) -> None:
    """Ctrl-C while the server keeps a request waiting ends the program at once."""
    script.delay = 60
    image = next((samples / "images").rglob("*.jpg"))
    words = ["ask", image, "Is it?", "--k", "0", "--index", index_folder, "--mllm", f"{served.url}#small"]
    command = [sys.executable, "cli.py", *map(str, words), "--device", "cpu"]
    with subprocess.Popen(
        command,
        cwd=samples.parent,
        stderr=subprocess.PIPE,
        env={**os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job would ignore it
    ) as process:
        deadline = time.monotonic() + 300
        while not served.completions():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 1
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_one_line_at_the_command_line(
    served: Served, script: Script, samples: Path, index_folder: Path, monkeypatch: pytest.MonkeyPatch
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
        f"{served.url}#small",
        "--device",
        "cpu",
    ]

    def run(*more: object) -> Any:
        return CliRunner().invoke(main, [str(word) for word in (*words, *more)], catch_exceptions=False)

    script.answers = [failed(500, f"broken, {KEY}")]
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"titrate: server {served.url} fails (500: broken, ***); see its log and try again\n"
    script.answers = [said("Yes.")]
    result = run("--options", "yes,no")
    assert result.exit_code == 0, result.output
    [note] = result.stderr.splitlines()
    assert note.startswith("titrate: note: options are told from the words that small writes")
    assert served.keys == {f"Bearer {KEY}"} and KEY not in result.output


def test_what_a_server_cannot_be_given(served: Served, tmp_path: Path) -> None:
    refuses(lambda: open_mllm(served.url, adapter=tmp_path), "leave out the adapter", kind=InputError)
    refuses(lambda: open_mllm(served.url, dtype="float32"), "leave out the dtype", kind=InputError)
    refuses(lambda: TransformersMLLM.open(served.url), "is a server", kind=InputError)
    assert served.asked == []
