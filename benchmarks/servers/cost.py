"""What calibration over a server costs: answers a second beside a bare asyncio loop, and tokens that are computed.

    python -m benchmarks.servers.cost --mllm http://localhost:8000/v1#NAME --local samples/models/mllm

The server runs the weights of ``--local`` (vLLM in float32; CONTRIBUTING.md says how it is started here). Both ways ask
it the same: real images of the calibrate split, scaled to ``--side`` pixels, with contexts of about 50 tokens, every
k = 0..10, sixteen requests in flight. The bare loop writes each image once and sends what our client would send, k
rising, with `asyncio` and `httpx`. They take turns, and a corner of each image changes at every turn, so that neither
finds in the server's cache what another turn left there. Tokens are the server's own counts: those of all prompts, and
those that it found in its cache of prefixes.
"""

import argparse
import asyncio
import json
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.calibrate import Options, nested_prompts
from rag import MLLM, NestedPrompt, OpenAIMLLM, TransformersMLLM
from rag.models.server.messages import data_url, user_message

MAX_K, IN_FLIGHT, TIMEOUT_S = 10, 16, 300
SPEED, TOKENS = 0.9, 1 / 3
"""At least this share of the bare loop's answers a second; at most this share of all prompts' tokens computed."""


def main(address: str, local: str, images: int, questions: int, sides: Sequence[int], rounds: int, out: Path) -> None:
    """Measure everything and print it; figures also go to ``out``."""
    own = TransformersMLLM.open(local, device="cpu")
    server = OpenAIMLLM.open(address)
    prompts, options = nested_prompts(own, Path("samples"), images, questions, MAX_K)
    figures: dict[str, Any] = {"model": address.partition("#")[2], "images": images, "questions": questions, "rows": []}
    for side in sides:
        row = measured(server, prompts, options, side, rounds)
        figures["rows"].append(row)
        met = "met" if row["ratio"] >= SPEED and row["tokens"]["ours"] <= TOKENS else "MISSED"
        print(
            f"{side:5d} pixels   answers/s {row['answers/s']['ours']:.1f} against {row['answers/s']['bare']:.1f}: "
            f"{row['ratio']:.2f} ({SPEED})   computed {row['tokens']['ours']:.2f} of the prompts' tokens, bare "
            f"{row['tokens']['bare']:.2f} ({TOKENS:.2f})   {met}",
            flush=True,
        )
    figures["agreement"] = agreement(server, own, prompts, options)
    print(f"with the same weights in process: {figures['agreement']}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=1) + "\n")


def measured(
    server: OpenAIMLLM, prompts: Sequence[NestedPrompt], options: Options, side: int, rounds: int
) -> dict[str, Any]:
    """Both ways by turns, on images of one size."""
    ways: dict[str, Callable[[Sequence[NestedPrompt]], Any]] = {
        "bare": lambda asked: asyncio.run(bare(server, asked)),
        "ours": lambda asked: server.score_nested(asked, options, range(MAX_K + 1)),
    }
    answers = (MAX_K + 1) * sum(map(len, options))
    speed: dict[str, list[float]] = {name: [] for name in ways}
    share: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for number, (name, way) in enumerate(ways.items()):
            asked = [replace(one, image=marked(one.image, side, 2 * turn + number)) for one in prompts]
            before, started = counts(server), time.perf_counter()
            way(asked)
            speed[name].append(answers / (time.perf_counter() - started))
            whole, found = (now - then for now, then in zip(counts(server), before, strict=True))
            share[name].append(1 - found / whole)
    pairs = [ours / plain for ours, plain in zip(speed["ours"], speed["bare"], strict=True)]
    return {
        "side": side,
        "answers": answers,
        "answers/s": {name: statistics.median(each) for name, each in speed.items()},
        "ratio": statistics.median(pairs),
        "ratios": pairs,
        "tokens": {name: statistics.median(each) for name, each in share.items()},
    }


async def bare(server: OpenAIMLLM, prompts: Sequence[NestedPrompt]) -> None:
    """The loop that anybody would write: an image is written once, then every k is asked, sixteen in flight."""
    gate, address = asyncio.Semaphore(IN_FLIGHT), f"{server.server.url}/chat/completions"
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as client:

        async def ask(image: str, text: str) -> None:
            async with gate:
                body = {"model": server.model, "messages": [user_message(image, text)], "max_tokens": 1}
                reply = await client.post(address, json=body | {"temperature": 0, "logprobs": True, "top_logprobs": 20})
                reply.raise_for_status()
                reply.json()

        await asyncio.gather(
            *(
                ask(image, one.at(question, k).text)
                for one in prompts
                for image in [data_url(one.image)]
                for question in range(len(one.closings))
                for k in range(MAX_K + 1)
            )
        )


def counts(server: OpenAIMLLM) -> tuple[float, float]:
    """Tokens of all prompts so far, and those of them that the server had in its cache."""
    text = httpx.get(server.server.url.removesuffix("/v1") + "/metrics", trust_env=False).text
    found = []
    for name in ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"):
        values = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        found.append(sum(map(float, values)))
    return found[0], found[1]


def marked(image: Image.Image, side: int, turn: int) -> Image.Image:
    """An image of a turn's own: scaled, with the turn's number in a corner."""
    scaled = image.convert("RGB").resize((side, side))
    scaled.putpixel((0, 0), (turn % 256, side % 256, 97))
    return scaled


def agreement(server: MLLM, own: MLLM, prompts: Sequence[NestedPrompt], options: Options) -> dict[str, float]:
    """How far the probabilities through the server are from those in process, over all questions and k."""
    there, here = (model.score_nested(prompts, options, range(MAX_K + 1)) for model in (server, own))
    pairs = [(np.exp(a), np.exp(b)) for x, y in zip(there, here, strict=True) for a, b in zip(x, y, strict=True)]
    return {
        "answers": float(sum(len(a) for a, _ in pairs)),
        "decisions that differ": float(sum((a.argmax(1) != b.argmax(1)).sum() for a, b in pairs)),
        "largest difference of a probability": max(float(np.abs(a - b).max()) for a, b in pairs),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mllm", required=True)
    parser.add_argument("--local", default="samples/models/mllm")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--questions", type=int, default=2, help="questions an image")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench/server.json"))
    given = parser.parse_args()
    main(given.mllm, given.local, given.images, given.questions, given.sides, given.rounds, given.out)
