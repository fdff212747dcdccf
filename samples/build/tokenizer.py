"""One byte-level BPE vocabulary for both small models, learnt from the train split's reports and questions."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from samples.build.archive import Archive

VOCABULARY = 4096
SPECIAL = ["<pad>", "<eos>", "<image>", "<user>", "<assistant>"]
PAD_ID, EOS_ID, IMAGE_ID = 0, 1, 2


def train_tokenizer(archive: Archive, extra: list[str]) -> Tokenizer:
    """Learn the vocabulary; ``extra`` are texts to keep whole, such as the prompt's fixed words."""
    train = {archive.records[row]["id"] for row in archive.rows("train")}
    texts = [record["report"] for record in archive.records if record["id"] in train]
    texts += [f"{q['question']}\n{q['answer']}" for q in archive.questions if q["record"] in train]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts + extra * 50, trainer)
    return tokenizer


def wrap(tokenizer: Tokenizer, *, append_eos: bool, max_length: int) -> PreTrainedTokenizerFast:
    """The vocabulary as a transformers tokenizer; the encoder's ends each text with <eos>, where its text is pooled."""
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
    """Keep the learnt vocabulary between the two training runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
