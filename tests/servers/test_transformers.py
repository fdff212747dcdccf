"""`transformers serve`, which lists no log-probabilities: the words of answers decide."""

from pathlib import Path

import pytest
from PIL import Image

from rag import OpenAIMLLM, Prompt, PromptTemplate, TransformersMLLM
from tests.servers.conftest import program, running
from titrate import InputError, TitrateWarning


def test_answers_are_those_of_the_model_in_process(samples: Path, mllm: TransformersMLLM, tmp_path: Path) -> None:
    folder = str(samples / "models/mllm")
    pictures = [Image.open(path).convert("RGB") for path in sorted((samples / "images").rglob("*.jpg"))[:4]]
    prompts = [Prompt(picture, PromptTemplate().render("Is it normal?", ["yes", "no"], [])) for picture in pictures]
    command = [program("transformers", "transformers"), "serve", folder, "--device", "cpu"]
    with running(command, tmp_path / "log", "/health") as server:
        with pytest.warns(TitrateWarning, match="told from the words"):
            opened = OpenAIMLLM.open(f"{server.url}#{folder}")
        assert opened.generate(prompts, 12) == [mllm.generate([prompt], 12)[0] for prompt in prompts]
        options = [["yes", "no"]] * len(prompts)
        scores, own = opened.score(prompts, options), mllm.score(prompts, options)
        assert [row.argmax() for row in scores] == [row.argmax() for row in own]
        with pytest.raises(InputError, match=r"refuses the request.*nothing"):
            OpenAIMLLM.open(f"{server.url}#nothing")
