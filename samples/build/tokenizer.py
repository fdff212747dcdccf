"""The byte-level BPE vocabulary of both small models, learnt from the reports and questions of the train split."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 4096
SPECIAL = ["<pad>", "<eos>", "<image>", "<user>", "<assistant>"]
PAD_ID, EOS_ID, IMAGE_ID = 0, 1, 2
FIXED_WORDS = [
    "Answer the question about this medical image. Reports of similar cases may help or mislead.",
    "Report [1]: \nReport [2]: \nQuestion: \nOptions: yes, no\nyes\nno",
]
"""Words of every prompt."""


def train_tokenizer(texts: list[str], *, lowercase: bool = False) -> Tokenizer:
    """Learn the vocabulary.

    Parameters
    ----------
    texts
        Reports and questions; the words of every prompt are learnt beside them, so that they take few tokens.
    lowercase
        Whether capitals are read as small letters. So a word is the same tokens at the beginning of a sentence and
        within one, and a small decoder can look it up; its own texts are in small letters then.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts + FIXED_WORDS * 50, trainer)
    return tokenizer


def wrap(tokenizer: Tokenizer, *, append_eos: bool, max_length: int) -> PreTrainedTokenizerFast:
    """Make a transformers tokenizer of the vocabulary.

    Parameters
    ----------
    tokenizer
        The vocabulary.
    append_eos
        Whether every text ends with <eos>. The encoder needs it: its text tower reads the embedding there.
    max_length
        Number of tokens at which texts are cut.
    """
    copy = Tokenizer.from_str(tokenizer.to_str())
    if append_eos:
        copy.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", EOS_ID)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=copy,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"],
        model_max_length=max_length,
        padding_side="right" if append_eos else "left",
        clean_up_tokenization_spaces=False,
    )
    return wrapped


def write_vocabulary(tokenizer: Tokenizer, path: Path) -> None:
    """Write the vocabulary to a file, from which the MLLM's training reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
