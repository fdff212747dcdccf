"""llama.cpp with the weights of a small LLaVA, written as GGUF: text as in process, images by its own vision tower.

Of text alone its log-probabilities are those in process to 0.006. Of images they differ, whatever the cache's number
format; why is not known. So log-odds are compared by their correlation, and what is sure by its decision.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rag import OpenAIMLLM, Prompt, TransformersMLLM
from tests.families.llava import llava
from tests.families.parts import SIDE
from tests.servers.conftest import Running, program, running

TEXT = "Is it?\nOptions: yes, no"
TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}{% for part in message['content'] %}"
    "{{ part['text'] | replace('__>', '__>\n') + ' ' }}{% endfor %}{% endfor %}ASSISTANT:"
)
"""LLaVA's, for a server that puts a text of its own, which ends so, in an image's place."""


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)) for _ in range(40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TransformersMLLM:
    """Give a LLaVA with random weights that says yes or no, as the image is."""
    folder = tmp_path_factory.mktemp("llava")
    torch.manual_seed(0)
    made, processor = llava()
    with torch.no_grad():
        for weights in made.parameters():
            weights.mul_(2.0 if weights.ndim > 1 else 1.0)
        processor.save_pretrained(folder)
        made.eval().save_pretrained(folder)
        small = TransformersMLLM.open(str(folder), device="cpu")
        prompt = small.render(TEXT)
        inputs = small.inputs([prompt] * 8, pictures()[:8])
        hidden = small.model(**inputs, output_hidden_states=True).hidden_states[-1][:, -1]  # [8, d]
        both = hidden.mean(0) / hidden.mean(0).norm()
        apart = torch.randn(len(both))
        apart -= (apart @ both) * both  # so that on average neither is likelier
        for answer, sign in (("yes", 1), ("no", -1)):
            [token, _] = small.answer_ids(prompt, answer)
            made.lm_head.weight[token] = 3 * both + sign * apart / 2
        made.save_pretrained(folder)
    return TransformersMLLM.open(str(folder), device="cpu")


@pytest.fixture(scope="module")
def served(model: TransformersMLLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give llama.cpp's server with the same weights."""
    out = tmp_path_factory.mktemp("gguf")
    writer = Path(__file__).with_name("write_gguf.py")
    subprocess.run([program("llama", "python"), writer, model.folders["the model"], out], check=True)
    (out / "template.jinja").write_text(TEMPLATE)
    [binary] = Path(program("llama", "python")).parents[1].glob("lib/*/site-packages/*/bin/llama-server")
    command = [str(binary), "-m", str(out / "model.gguf"), "--mmproj", str(out / "mmproj.gguf"), "--no-mmproj-offload"]
    command += ["--jinja", "--chat-template-file", str(out / "template.jinja"), "-c", "4096", "-np", "2"]
    with running(command, out / "log", "/health") as server:
        yield server


def test_what_is_sure_in_process_is_answered_alike(served: Running, model: TransformersMLLM) -> None:
    opened = OpenAIMLLM.open(served.url)
    assert opened.versions["options read by"] == "the 20 likeliest first tokens, else words"
    prompts = [Prompt(picture, TEXT) for picture in pictures()]
    options = [["yes", "no"]] * len(prompts)
    found, own = (np.exp(np.stack(one.score(prompts, options))) for one in (opened, model))
    assert set(own.argmax(1)) == {0, 1}, "both are answered"
    odds, ours = (np.log(chances[:, 0] / chances[:, 1]) for chances in (found, own))
    assert np.corrcoef(odds, ours)[0, 1] > 0.9
    sure = np.abs(ours) > 2
    assert sure.sum() > 10 and (found.argmax(1) == own.argmax(1))[sure].all()


def test_answers_are_bounded_and_in_order(served: Running) -> None:
    opened = OpenAIMLLM.open(served.url)
    texts = opened.generate([Prompt(picture, TEXT) for picture in pictures()[:8]], 4)
    assert texts == opened.generate([Prompt(picture, TEXT) for picture in pictures()[:8]], 4)
    assert all(text.split()[0].startswith(("yes", "no")) for text in texts)
