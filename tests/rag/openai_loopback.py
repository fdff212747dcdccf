"""OpenAI's chat completions on loopback over real HTTP: a model of ours behind them, or answers as scripted."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Lock, Thread
from typing import Any

import pytest
import torch
from PIL import Image

from rag import OpenAIMLLM, Prompt, TransformersMLLM
from titrate import TitrateError

KEY = "a-secret-key-of-the-hospital"
TRIES = 3
"""How often a request is made, where the `script` fixture is used, before its failure is told."""

Answer = tuple[int, Any]
"""A status, and JSON or bytes."""


@dataclass
class Served:
    """A server that runs: what it was asked, with which keys, and what it says."""

    url: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    models: Answer = (200, {"object": "list", "data": [{"id": "small", "object": "model", "root": "ours/small"}]})
    headers: dict[str, str] = field(default_factory=dict)

    def completions(self) -> list[Any]:
        """Bodies of the chat completions asked for."""
        return [body for request, body in self.asked if request == "POST /v1/chat/completions"]


@contextmanager
def serving(
    complete: Callable[[Any], Answer], beside: Mapping[str, Callable[[Any], Answer]] | None = None
) -> Iterator[Served]:
    """Serve chat completions that a function gives for each request, and what else there is, by its path."""
    served, lock = Served(), Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or "null")
            request = f"{self.command} {self.path}"
            with lock:
                served.asked.append((request, body))
                served.keys.add(self.headers["authorization"])
            if request == "GET /v1/models":
                status, value = served.models
            elif request == "POST /v1/chat/completions":
                status, value = complete(body)
            elif self.command == "POST" and self.path in (beside or {}):
                status, value = (beside or {})[self.path](body)
            else:
                status, value = 404, {"detail": "Not Found"}
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, header in ({"content-type": "application/json"} | served.headers).items():
                self.send_header(name, header)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # of a client that was interrupted
                super().handle()

    class Server(ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 64

    http = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{http.server_port}/v1"
    Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield served
    finally:
        http.shutdown()
        http.server_close()


def said(text: str, tokens: Any = None, *, finish: str = "stop") -> Answer:
    """A completion with this content, and these tokens' log-probabilities if any."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": tokens and {"content": tokens}}
    return 200, {"id": "1", "object": "chat.completion", "model": "small", "choices": [choice]}


def answer_token(*listed: tuple[str, float]) -> dict[str, Any]:
    """A token of an answer: the most likely ones with their log-probabilities, of which the first was written."""
    tops = [{"token": token, "logprob": value, "bytes": [*token.encode()]} for token, value in listed]
    return {**tops[0], "top_logprobs": tops}


def model_behind(mllm: TransformersMLLM) -> Callable[[Any], Answer]:
    """Completions of a model, greedily, with log-probabilities from its own logits; what ends an answer is not told."""
    lock = Lock()
    tokenizer = mllm.processor.tokenizer

    @torch.inference_mode()
    def complete(body: Any) -> Answer:
        if body["model"] != "small":
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist.", "code": 404}}
        [message] = body["messages"]
        picture, text = message["content"]
        assert (picture["type"], text["type"], body["temperature"]) == ("image_url", "text", 0)
        header, _, data = picture["image_url"]["url"].partition(",")
        assert header == "data:image/png;base64"
        with lock:
            inputs = mllm.inputs([mllm.render(text["text"])], [Image.open(BytesIO(base64.b64decode(data)))])
            found: Any = mllm.model.generate(
                **inputs,
                max_new_tokens=body["max_tokens"],
                do_sample=False,
                return_dict_in_generate=True,
                output_logits=True,
                pad_token_id=mllm.pad_id,
            )
        ids = found.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        ended = ids[-1] == tokenizer.eos_token_id
        kept = ids[:-1] if ended else ids
        tokens = []
        for token, logits in zip(kept, found.logits, strict=False):
            table = torch.log_softmax(logits[0].double(), -1)
            order = [token, *(other for other in table.topk(body.get("top_logprobs", 1)).indices.tolist())]
            listed = [(tokenizer.decode([other]), float(table[other])) for other in dict.fromkeys(order)]
            tokens.append(answer_token(*listed))
        text_said = tokenizer.decode(kept, skip_special_tokens=True)
        return said(text_said, tokens if body.get("logprobs") else None, finish="stop" if ended else "length")

    return complete


def exact_behind(mllm: TransformersMLLM) -> tuple[Callable[[Any], Answer], dict[str, Callable[[Any], Answer]]]:
    """The same as vLLM serves it: the log-probabilities of any token, behind an answer that has been begun."""
    listed, tokenizer, lock = model_behind(mllm), mllm.processor.tokenizer, Lock()

    def rendered(body: Any) -> str:
        user, *begun = body["messages"]
        prompt = mllm.render(user["content"][-1]["text"])
        if not begun:
            return prompt
        return f"{prompt}{begun[0]['content']}{'' if body['continue_final_message'] else mllm.turn.end}"

    @torch.inference_mode()
    def complete(body: Any) -> Answer:
        if "logprob_token_ids" not in body:
            return listed(body)
        data = body["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
        with lock:
            inputs = mllm.inputs([rendered(body)], [Image.open(BytesIO(base64.b64decode(data)))])
            table = torch.log_softmax(mllm.model(**inputs).logits[0, -1].double(), -1)
        numbered = [(f"token_id:{token}", float(table[token])) for token in body["logprob_token_ids"]]
        return said("", [answer_token(*numbered)], finish="length")

    return complete, {
        "/tokenize": lambda body: (200, {"tokens": tokenizer(rendered(body)).input_ids}),
        "/detokenize": lambda body: (200, {"prompt": tokenizer.decode(body["tokens"])}),
    }


YES = said("yes", [answer_token(("yes", -0.1), ("no", -3.0))])


class Script:
    """Answers that a server gives one after another, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [YES]
        self.delay = 0.0

    def __call__(self, body: Any) -> Answer:
        time.sleep(self.delay)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def failed(status: int, reason: str) -> Answer:
    return status, {"error": {"message": reason, "type": "Error", "code": status}}


def a_prompt(text: str = "Is it?\nOptions: yes, no") -> Prompt:
    return Prompt(Image.new("RGB", (8, 8)), text)


def opens(served: Served, key: str | None = KEY) -> Callable[[], OpenAIMLLM]:
    return lambda: OpenAIMLLM.open(f"{served.url}#small", api_key=key)


def refuses(action: Callable[[], object], *words: str, kind: type[TitrateError] = TitrateError) -> None:
    with pytest.raises(TitrateError) as caught:
        action()
    assert type(caught.value) is kind or kind is TitrateError
    message = str(caught.value)
    assert "\n" not in message and KEY not in message and caught.value.__cause__ is None
    for word in words:
        assert word in message
