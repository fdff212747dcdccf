"""What small models of all families are made of: a vocabulary with a family's own special tokens, and sizes."""

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rag import PromptTemplate

SIDE, PATCH, VOCABULARY = 56, 14, 420
SQUARE = {"height": SIDE, "width": SIDE}
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}


class Words:
    """A family's vocabulary: padding, end and beginning have ids 0, 1 and 2; its other special tokens follow.

    Parameters
    ----------
    end, begin
        The tokens that end and begin a text; ``begin`` empty for a family that has none.
    others
        The other special tokens.
    """

    def __init__(self, end: str, begin: str, *others: str) -> None:
        self._end, self._begin = end, begin
        self.special = ["<pad>", end, begin or "<unused>", *others]

    def id(self, token: str) -> int:
        """A special token's id."""
        return self.special.index(token)

    def tokenizer(self, **roles: str) -> PreTrainedTokenizerFast:
        """A tokeniser of these, with a vocabulary learnt on prompts; ``roles`` are what processors look up by name."""
        words = Tokenizer(models.BPE())
        words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        words.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=self.special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        prompt = PromptTemplate().render("Is it?", ["yes", "no"], ["Clear lungs.", "Large heart.", "Normal."])
        words.train_from_iterator([prompt] * 20, trainer)
        return PreTrainedTokenizerFast(
            tokenizer_object=words,
            pad_token="<pad>",
            eos_token=self._end,
            bos_token=self._begin or None,
            extra_special_tokens=roles,
            additional_special_tokens=self.special[3:],
            model_max_length=2048,
            padding_side="left",
        )


def chat(user: str, model: str, image: str, end: str, begin: str = "", line: str = "", user_end: str = "") -> str:
    """A chat template that writes each turn as a tag, its parts and an end, as most families' do.

    Parameters
    ----------
    user, model
        What begins a turn of the user, and one of the model.
    image
        Stands for an image.
    end, user_end
        What ends a turn of the model, and one of the user where that is another.
    begin
        What begins the text.
    line
        What follows an end.
    """
    tags = f"{{{{ {user!r} if message.role == 'user' else {model!r} }}}}"
    parts = (
        "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
        f"{{% if part.type == 'image' %}}{{{{ {image!r} }}}}{{% else %}}{{{{ part.text }}}}{{% endif %}}"
        "{% endfor %}{% endif %}"
    )
    ends = f"{{{{ {(user_end or end) + line!r} if message.role == 'user' else {end + line!r} }}}}"
    opening = f"{{% if add_generation_prompt %}}{{{{ {model!r} }}}}{{% endif %}}"
    return f"{{{{ {begin!r} }}}}{{% for message in messages %}}{tags}{parts}{ends}{{% endfor %}}{opening}"


CHATML = ("<|im_start|>user\n", "<|im_start|>assistant\n")
LLAMA_3 = (
    "<|start_header_id|>user<|end_header_id|>\n\n",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
)
