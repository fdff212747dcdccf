"""Where an answer stands: what is scored and trained is what the chat template writes behind the prompt."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rag import Prompt, TransformersMLLM
from rag.models.loading.turn import AnswerTurn, answer_turn
from tests.rag.architectures import write_model
from titrate import InputError, TitrateWarning

PARTS = "{% for part in message.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}"
TEXT = "{{ message.content if message.content is string else message.content[0].text }}"
EACH = "{% for message in messages %}"
ASKED = "{% if add_generation_prompt %}"

TEMPLATES = {
    # A space behind the colon belongs to the answer, as with LLaVA 1.5; nothing ends an answer but the tokeniser's end.
    "colon": (
        EACH + "{{ message.role.upper() }}: " + PARTS + " {% endfor %}" + ASKED + "ASSISTANT:{% endif %}",
        AnswerTurn("", " ", "<eos>"),
    ),
    # As SmolVLM and Idefics 3 write it.
    "colon and end": (
        EACH
        + "{{ message.role.capitalize() }}{{ ':' if message.content[0].type == 'image' else ': ' }}"
        + PARTS
        + "<end>\n{% endfor %}"
        + ASKED
        + "Assistant:{% endif %}",
        AnswerTurn("", " ", "<end>"),
    ),
    # The model's turn begins with a space and a new line here, with a new line there, as with LLaVA-OneVision.
    "other white space": (
        EACH + "<begin>{{ message.role }} \n" + PARTS + "<eos>{% endfor %}" + ASKED + "<begin>assistant\n{% endif %}",
        AnswerTurn("", "", "<eos>"),
    ),
    # Thoughts that can be left out leave an empty block behind, before every answer.
    "thoughts left out": (
        EACH
        + "<begin>{{ message.role }}\n{% if message.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
        + PARTS
        + "<eos>\n{% endfor %}"
        + ASKED
        + "<begin>assistant\n{% if enable_thinking is not defined or enable_thinking %}<think>\n"
        + "{% else %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
        AnswerTurn("", "", "<eos>"),
    ),
    # The template writes the empty block with the answer only.
    "block with the answer": (
        EACH
        + "<begin>{{ message.role }}\n{% if message.role == 'assistant' %}<think></think>\n{% endif %}"
        + PARTS
        + "<eos>\n{% endfor %}"
        + ASKED
        + "<begin>assistant\n{% endif %}",
        AnswerTurn("<think></think>\n", "", "<eos>"),
    ),
    # An answer given as a list of parts is printed as Python would, as with GLM-4.1V; as text it is read.
    "answer as text": (
        EACH
        + "<{{ message.role }}>{% if message.role == 'user' %}"
        + PARTS
        + "{% else %}{{ message.content }}<eos>{% endif %}{% endfor %}"
        + ASKED
        + "<assistant>{% endif %}",
        AnswerTurn("", "", "<eos>"),
    ),
}
REFUSED = {
    "the model's chat template failed: no; mend": EACH + "{{ raise_exception('no') }}{% endfor %}",
    "writes no answer of the model": EACH + "{% if message.role == 'user' %}" + PARTS + "{% endif %}{% endfor %}",
    "writes an answer elsewhere than behind its prompt": (
        EACH + "<{{ message.role }}>" + PARTS + "<eos>{% endfor %}" + ASKED + "<begin>{% endif %}"
    ),
}


def with_template(folder: Path, template: str) -> Path:
    (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model("llava", tmp_path_factory.mktemp("llava"))
    words = json.loads((folder / "tokenizer.json").read_text())
    words["pre_tokenizer"]["use_regex"] = True  # as with real vocabularies, no token joins a colon to a space
    (folder / "tokenizer.json").write_text(json.dumps(words))
    return folder


@torch.inference_mode()
def behind_the_turn(mllm: TransformersMLLM, prompt: Prompt, answer: str, said: str) -> float:
    """Log-probability of the answer's tokens in the whole conversation, read at once.

    ``said`` is the conversation as the template writes it, up to the answer's end; the answer's tokens are those that
    are not there without it.
    """
    tokenizer = mllm.processor.tokenizer
    before = tokenizer(said[: said.rindex(answer)].rstrip(" "), add_special_tokens=False).input_ids
    whole = tokenizer(said, add_special_tokens=False).input_ids
    assert whole[: len(before)] == before
    inputs = mllm.processor(text=[said], images=[[prompt.image]], add_special_tokens=False, return_tensors="pt")
    count = len(whole) - len(before)
    logits = mllm.model(**inputs).logits[0, -count - 1 : -1].double()
    targets = inputs["input_ids"][0, -count:]
    return float(torch.log_softmax(logits, -1)[torch.arange(count), targets].sum())


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_scored_is_what_the_template_writes(llava: Path, pictures: list[Image.Image], name: str) -> None:
    template, turn = TEMPLATES[name]
    mllm = TransformersMLLM.open(str(with_template(llava, template)), device="cpu")
    assert mllm.turn == turn
    prompt, options = Prompt(pictures[0], "Is there an effusion?"), ["yes", "no"]
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt.text}]}]
    expected = []
    for option in options:
        if name == "other white space":  # what is asked with decides: the prompt is what a model is trained on
            whole = mllm.render(prompt.text) + option
        else:
            content = option if name == "answer as text" else [{"type": "text", "text": option}]
            conversation = [*messages, {"role": "assistant", "content": content}]
            whole = mllm.processor.apply_chat_template(conversation, tokenize=False, enable_thinking=False)
            whole = whole[: whole.rindex(option) + len(option)]
        assert whole.startswith(mllm.render(prompt.text))
        expected.append(behind_the_turn(mllm, prompt, option, whole))
    assert mllm.score([prompt], [options])[0] == pytest.approx(np.array(expected), abs=1e-4)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_trained_is_what_is_scored(llava: Path, pictures: list[Image.Image], name: str) -> None:
    template, _ = TEMPLATES[name]
    mllm = TransformersMLLM.open(str(with_template(llava, template)), device="cpu")
    prompt = Prompt(pictures[0], "Is there an effusion?")
    rendered = mllm.render(prompt.text)
    ids = mllm.answer_ids(rendered, "yes")
    assert mllm.processor.tokenizer.decode(ids[-1:]) == ("<end>" if name == "colon and end" else "<eos>")
    scored = mllm.option_tokens.prefixes(rendered, ["yes"])[0].options[0]
    assert ids[: len(scored)] == scored
    assert mllm.processor.tokenizer.decode(ids) == mllm.answer_text("yes")
    for prefix in mllm.option_tokens.prefixes(rendered, ["no", "no change"]):  # one begins the other: up to the end
        for option, read in prefix.options.items():
            assert read == mllm.answer_ids(rendered, ["no", "no change"][option])


def test_the_end_that_the_template_writes_is_scored_and_no_other(llava: Path, pictures: list[Image.Image]) -> None:
    """Of several tokens that end what is generated, training learns the template's."""
    template, turn = TEMPLATES["colon and end"]
    mllm = TransformersMLLM.open(str(with_template(llava, template)), device="cpu")
    assert turn.end == "<end>" and len(mllm.ends) == 2
    prompt, options = Prompt(pictures[0], "Is there an effusion?"), ["no", "no change"]
    said = mllm.render(prompt.text)
    expected = [behind_the_turn(mllm, prompt, option, f"{said} {option}<end>") for option in options]
    assert mllm.score([prompt], [options])[0] == pytest.approx(np.array(expected), abs=1e-4)


def test_an_answer_that_the_next_turn_ends(llava: Path) -> None:
    """As with GLM, whose models write the tag of the user's turn; where that is no end, a text's end is added."""
    template = EACH + "<{{ message.role }}>" + PARTS + "{% endfor %}" + ASKED + "<assistant>{% endif %}"
    mllm = TransformersMLLM.open(str(with_template(llava, template)), device="cpu")
    assert mllm.turn.end == "<eos>"
    assert answer_turn(mllm.processor, "it", ["<eos>"], ["<eos>", "<user>"]).end == "<user>"


@pytest.mark.parametrize("message", REFUSED)
def test_a_template_that_cannot_be_followed_is_refused(llava: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TransformersMLLM.open(str(with_template(llava, REFUSED[message])), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "close"),
    [
        ("<{{ message.role }}>" + PARTS, "\n</think>\n\n"),  # without thoughts: as most models write
        ("{% if message.role == 'user' %}<user>" + PARTS + "{% else %}<assistant><think>\n</think>: " + PARTS
         + "{% endif %}", "</think>: "),
    ],
)  # fmt: skip
def test_what_stands_between_thoughts_and_answer(llava: Path, answer: str, close: str) -> None:
    template = EACH + answer + "<eos>{% endfor %}" + ASKED + "<assistant><think>\n{% endif %}"
    with pytest.warns(TitrateWarning, match="thinks before it answers"):
        mllm = TransformersMLLM.open(str(with_template(llava, template)), device="cpu")
    assert mllm.turn.thinks and mllm.turn.end == "<eos>"
    assert mllm.render("Is it?", "\n So. \n").endswith(f"<assistant><think>\nSo.{close}")


def test_a_template_that_writes_an_answer_inside_of_thoughts_is_refused(llava: Path) -> None:
    inside = "{% if message.role == 'user' %}<user>" + PARTS + "{% else %}<assistant><think>\n" + PARTS + "{% endif %}"
    template = EACH + inside + "<eos>{% endfor %}" + ASKED + "<assistant><think>\n{% endif %}"
    with pytest.raises(InputError, match="elsewhere than behind its prompt"):
        TransformersMLLM.open(str(with_template(llava, template)), device="cpu")


def test_a_template_that_writes_the_date_writes_the_same_one_every_day(llava: Path) -> None:
    """As Mistral 3.1's does in its system message."""
    dated = (
        "{%- set today = strftime_now('%Y-%m-%d') %}{{ 'Today is ' + today + '.' }}" + TEMPLATES["answer as text"][0]
    )
    mllm = TransformersMLLM.open(str(with_template(llava, dated)), device="cpu")
    assert mllm.render("Is it?").startswith("Today is 2024-07-26.<user>")
