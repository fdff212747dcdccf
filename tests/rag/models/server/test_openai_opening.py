"""Opening a server's model: which address is asked, what it is told, and what it must answer, over real HTTP."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag import OpenAIMLLM, TransformersMLLM, open_mllm
from tests.rag.openai_loopback import KEY, YES, Script, Served, a_prompt, failed, opens, refuses, said, serving
from titrate import InputError, TitrateWarning


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
    monkeypatch.setattr("rag.models.server.connection.OpenAIServer.models", lambda self: [])
    with pytest.warns(TitrateWarning, match=r"plain http to gpu\.example\.org"), pytest.raises(InputError):
        OpenAIMLLM.open("http://gpu.example.org:8000/v1")


@pytest.mark.parametrize("status", [401, 403])
def test_key(scripted: Served, status: int) -> None:
    scripted.models = failed(status, f"no such key: {KEY}")
    refuses(opens(scripted, None), scripted.url, "wants an API key; set TITRATE_MLLM_API_KEY")
    refuses(opens(scripted), scripted.url, "refuses the")
    assert scripted.keys == {None, f"Bearer {KEY}"}


def test_a_key_that_a_server_repeats_is_not_repeated(scripted: Served, script: Script) -> None:
    script.answers = [failed(400, f"{KEY}\nis what you sent")]
    refuses(opens(scripted), "400: *** is what you sent", kind=InputError)


def test_unknown_model(scripted: Served, script: Script) -> None:
    script.answers = [failed(404, "The model `large` does not exist.")]
    refuses(lambda: OpenAIMLLM.open(f"{scripted.url}#large"), "`large` does not exist", "it has small", kind=InputError)
    assert len(scripted.completions()) == 2  # with log-probabilities, and without


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_which_model(scripted: Served, names: list[str]) -> None:
    scripted.models = (200, {"data": [{"id": name} for name in names]})
    said_so = "it has a, b" if names else "it lists none"
    refuses(lambda: OpenAIMLLM.open(scripted.url), "which model", said_so, "/v1#MODEL", kind=InputError)
    assert scripted.completions() == []


def test_a_server_without_a_list_of_models(scripted: Served) -> None:
    scripted.models = failed(404, "Not Found")
    assert opens(scripted)().model == "small"


def test_a_model_that_reads_no_images(scripted: Served, script: Script) -> None:
    script.answers = [failed(400, "small is not a multimodal model")]
    refuses(opens(scripted), "not a multimodal model", "must read images", kind=InputError)


def test_log_probabilities_refused(scripted: Served, script: Script) -> None:
    script.answers = [*[failed(400, "logprobs are not supported")] * 3, said("Yes.")]
    with pytest.warns(TitrateWarning, match=r"told from the words.*400: logprobs are not supported"):
        opened = opens(scripted)()
    assert opened.score([a_prompt()], [["yes", "no"]])[0].tolist() == [0, -np.inf]
    assert [body.get("top_logprobs") for body in scripted.completions()] == [20, 10, 5, None, None]


def test_malformed_log_probabilities(scripted: Served, script: Script) -> None:
    for tokens in ([{"token": "yes"}], [{"token": "yes", "logprob": -1, "top_logprobs": []}], "text", [3]):
        script.answers = [said("yes", tokens)]
        with pytest.warns(TitrateWarning, match="told from the words"):
            opens(scripted)()


@pytest.mark.parametrize("answer", [b"<html>welcome</html>", [], {"data": "x"}, {"choices": []}, "text"])
def test_something_else_answers(scripted: Served, script: Script, answer: Any) -> None:
    script.answers = [(200, answer)]
    refuses(opens(scripted), scripted.url, "does not answer as an OpenAI-compatible one does", "/v1")
    scripted.models = (200, answer)
    refuses(opens(scripted), scripted.url, "does not answer as an OpenAI-compatible one does", "/v1")


def test_a_server_that_points_elsewhere_is_not_followed(scripted: Served, script: Script) -> None:
    with serving(lambda body: YES) as other:
        scripted.headers = {"location": f"{other.url}/chat/completions"}
        for status in (301, 302, 307, 308):
            script.answers = [(status, b"")]
            refuses(opens(scripted), f"points elsewhere ({status})")
            scripted.models = (status, b"")
            refuses(opens(scripted), f"points elsewhere ({status})")
            scripted.models = (200, {"data": []})
        assert other.asked == []


def test_no_proxy_is_asked(scripted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda body: YES) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        opens(scripted)()
        assert proxy.asked == []


def test_nothing_is_logged(scripted: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        opens(scripted)().score([a_prompt("of patient Smith")], [["yes", "no"]])
    text = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert KEY not in text and "Smith" not in text


def test_what_a_server_cannot_be_given(scripted: Served, tmp_path: Path) -> None:
    refuses(lambda: open_mllm(scripted.url, adapter=tmp_path), "leave out the adapter", kind=InputError)
    refuses(lambda: open_mllm(scripted.url, dtype="float32"), "leave out the dtype", kind=InputError)
    refuses(lambda: TransformersMLLM.open(scripted.url), "is a server", kind=InputError)
    assert scripted.asked == []
