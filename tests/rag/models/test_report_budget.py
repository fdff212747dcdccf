"""How many tokens a report may take, for a model whose tokens can be counted and for one behind a server."""

from PIL import Image

from rag import Prompt, PromptTemplate, TransformersMLLM
from rag.models.openai import OpenAIMLLM
from rag.models.server.connection import OpenAIServer
from rag.models.server.dialect import Dialect
from rag.token_budget import share_of_report


def server(**said: object) -> OpenAIMLLM:
    return OpenAIMLLM(OpenAIServer("http://localhost:1/v1"), "model", said, Dialect())


def test_eight_long_reports_fit_beside_a_large_image(mllm: TransformersMLLM) -> None:
    assert mllm.tokens_per_report == (4096 * 7 // 8 - 38) // 8, "36 tokens of the image, 2 of the chat template"
    template = PromptTemplate().for_model(mllm)
    report = "There is no pleural effusion. " * 1000
    assert template.report_tokens - 10 < mllm.count_tokens(template.read(report).text) <= template.report_tokens
    text = template.render("Is there an effusion?", ["yes", "no"], [report] * 8)
    read = mllm.inputs([mllm.render(text)], [Image.new("RGB", (2000, 3000))])  # refuses what is too long
    assert 3500 < read["input_ids"].shape[1] < 3800
    assert len(mllm.generate([Prompt(Image.new("RGB", (32, 32)), text)], 2)) == 1


def test_the_tokens_of_the_model_are_counted_without_those_that_begin_a_text(mllm: TransformersMLLM) -> None:
    assert mllm.count_tokens("") == 0
    assert mllm.count_tokens("<image>") == 1
    assert mllm.without_special_tokens("No <image>effusion<eos>.") == "No  effusion ."


def test_a_server_that_tells_its_context_and_one_that_does_not() -> None:
    assert server().tokens_per_report == 256
    assert server(max_model_len=8192).tokens_per_report == 512 == share_of_report(8192, None)
    assert server(max_model_len=131_072).tokens_per_report == 1024
    assert server(max_model_len="many").tokens_per_report == server(max_model_len=0).tokens_per_report == 256
    assert server(max_model_len=8192).fingerprint != server().fingerprint, "reports are cut otherwise"
    assert server(max_model_len=4096).fingerprint == server().fingerprint
    assert server().without_special_tokens("A <|end|>nodule [INST]of < 5 mm") == "A  nodule  of < 5 mm"
