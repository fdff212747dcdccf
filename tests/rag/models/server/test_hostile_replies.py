"""Whatever a server replies half way through a calibration: one line, exit code 1, and what was answered is kept."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from tests.rag.openai_loopback import KEY, YES, Answer, answer_token, failed, said, serving

OTHER = "http://127.0.0.1:9/v1/chat/completions"
NAN = said("yes", [{"token": "yes", "logprob": float("nan"), "top_logprobs": [{"token": "yes", "logprob": 1e9}]}])
REPLIES: dict[str, tuple[Answer, dict[str, str], str]] = {
    "a page": ((200, b"<html>Welcome</html>"), {}, "does not answer as an OpenAI-compatible one does"),
    "nothing": ((200, b""), {}, "does not answer as an OpenAI-compatible one does"),
    "half of it": ((200, json.dumps(YES[1]).encode()[:80]), {}, "does not answer as an OpenAI-compatible one does"),
    "a list": ((200, [1, 2]), {}, "does not answer as an OpenAI-compatible one does"),
    "no choice": ((200, {"choices": []}), {}, "does not answer as an OpenAI-compatible one does"),
    "a number": ((200, {"choices": [{"message": {"content": 7}}]}), {}, "does not answer as an OpenAI-compatible"),
    "brackets": ((200, b"[" * 200_000), {}, "does not answer as an OpenAI-compatible one does"),
    "no numbers": (NAN, {}, "no longer lists log-probabilities"),
    "no tokens": (said("yes"), {}, "no longer lists log-probabilities"),
    "elsewhere": ((307, b""), {"location": OTHER}, "points elsewhere (307), which is not followed"),
    "no entry": (failed(401, f"bad key {KEY}"), {}, "refuses the API key; check TITRATE_MLLM_API_KEY"),
    "what it was sent": (failed(500, f"Authorization: Bearer {KEY}"), {}, "fails (500: Authorization: Bearer ***)"),
    "zeros, packed": ((200, gzip.compress(bytes(3_000_000))), {"content-encoding": "gzip"}, "more than 1 MiB"),
    "packed unknown": ((200, b"abc"), {"content-encoding": "zstd"}, "does not answer as an OpenAI-compatible one does"),
}


@pytest.fixture(scope="module")
def few(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Closed questions about eight images of the `calibrate` split's radiology."""
    lines = [json.loads(text) for text in (samples / "questions.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["options"] and (line["split"], line["domain"]) == ("calibrate", "radiology")]
    file = tmp_path_factory.mktemp("hostile") / "questions.jsonl"
    some = list({line["patient"]: line for line in kept}.values())[:8]
    file.write_text("".join(json.dumps(line) + "\n" for line in some))
    return file


@pytest.mark.filterwarnings("ignore::titrate.TitrateWarning")
@pytest.mark.parametrize("kind", REPLIES)
def test_a_calibration_through_it(
    kind: str, few: Path, samples: Path, index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TITRATE_MLLM_API_KEY", KEY)
    monkeypatch.setattr("rag.outcomes.score._IMAGES_AT_ONCE", 2)
    monkeypatch.setattr("rag.models.server.connection.PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr("rag.models.server.connection.MOST_BYTES", 2**20)
    hostile, headers, message = REPLIES[kind]
    asked = 0

    def complete(body: Any) -> Answer:
        nonlocal asked
        asked += 1
        running.headers = headers if asked > 9 else {}
        return hostile if asked > 9 else YES

    calls: list[Callable[[Any], Answer]] = [complete]
    with serving(lambda body: calls[-1](body)) as running:
        words = ["calibrate", few, "--root", samples, "--index", index_folder, "--mllm", f"{running.url}#small"]
        words += ["--alpha", 0.99, "--max-k", 1, "--device", "cpu"]
        broken = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
        assert (broken.exit_code, broken.stdout) == (1, ""), broken.output
        line = [line for line in broken.stderr.splitlines() if not line.startswith("titrate: note:")]
        assert len(line) == 1 and line[0].startswith("titrate: ") and message in line[0], broken.stderr
        kept = sum(file.read_text().count('"question"') for file in Path("outcomes").glob("*.jsonl"))
        assert kept >= 2
        assert running.keys == {f"Bearer {KEY}"}
        if kind not in ("half of it", "zeros, packed"):  # the others leave the same behind
            assert KEY not in broken.output
            return
        running.headers, before = {}, len(running.completions())
        calls.append(lambda body: said("yes", [answer_token(("yes", -0.1), ("no", -3.0))]))
        whole = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
        assert whole.exit_code == 0, whole.output
        again = len(running.completions()) - before
        assert again <= 1 + 2 * (8 - kept) + 2, "what was kept is not asked again"
    texts = [broken.output, whole.output, *(file.read_text() for file in tmp_path.rglob("*") if file.is_file())]
    assert not any(KEY in text for text in texts)
