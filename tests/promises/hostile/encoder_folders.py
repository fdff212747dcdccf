"""Encoder folders as a stranger could make them; the code that they bring would write a file, the sentinel."""

import io
import os
import tarfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load_file

from tests.promises.hostile.folder import CONFIG, WEIGHTS, Folder, Payload, pickled


def trust(folder: Folder) -> None:
    folder.tokenizer_with_code()
    folder.edit(tokenizer_kwargs={"trust_remote_code": True})


def tokenizer_auto_map(folder: Folder) -> None:
    folder.tokenizer_with_code()


def config_auto_map(folder: Folder) -> None:
    folder.tokenizer_with_code()
    maps = {"AutoConfig": "evil.Evil", "AutoTokenizer": ["evil.Evil", None], "AutoModel": "evil.Evil"}
    folder.edit(file="config.json", model_type="evil", auto_map=maps)


def tokenizer_proxies(folder: Folder) -> None:
    folder.edit(tokenizer_kwargs={"proxies": {"https": "http://127.0.0.1:9"}, "force_download": True})


def tokenizer_elsewhere(folder: Folder) -> None:
    other = folder.path / "sub"
    other.mkdir()
    folder.code("evil.py", other)
    folder.edit(tokenizer_kwargs={"subfolder": "sub", "trust_remote_code": True})


def tokenizer_class_by_keyword(folder: Folder) -> None:
    folder.tokenizer_with_code()
    folder.edit(tokenizer_kwargs={"tokenizer_type": "evil", "code_revision": "main", "token": "x"})


def word_list_elsewhere(folder: Folder) -> None:
    folder.edit(hf_tokenizer_name="", tokenizer_kwargs={"bpe_path": "/etc/hostname"})


def pickled_weights(folder: Folder) -> None:
    (folder.path / WEIGHTS).unlink()
    torch.save({"state_dict": Payload(folder.sentinel)}, folder.path / "open_clip_pytorch_model.bin")


def bare_pickle(folder: Folder) -> None:
    (folder.path / WEIGHTS).unlink()
    (folder.path / "open_clip_pytorch_model.bin").write_bytes(pickled(folder.sentinel))


def old_pickle(folder: Folder) -> None:
    (folder.path / WEIGHTS).unlink()
    torch.save(
        {"a": Payload(folder.sentinel)},
        folder.path / "open_clip_pytorch_model.pth",
        _use_new_zipfile_serialization=False,
    )


def tar_of_pickles(folder: Folder) -> None:
    (folder.path / WEIGHTS).unlink()
    with tarfile.open(folder.path / "open_clip_pytorch_model.bin", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickled(folder.sentinel)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def script(folder: Folder) -> None:
    (folder.path / WEIGHTS).unlink()
    with warnings.catch_warnings():  # deprecated, but such files are about
        warnings.simplefilter("ignore", FutureWarning)
        made = torch.jit.script(torch.nn.Linear(2, 2))
    made.save(str(folder.path / "open_clip_pytorch_model.bin"))


def pickle_called_safetensors(folder: Folder) -> None:
    (folder.path / WEIGHTS).write_bytes(pickled(folder.sentinel))


def text_model_with_code(folder: Folder) -> None:
    other = folder.text_model(auto_map={"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"})
    folder.edit(hf_model_name=str(other))


def text_model_with_code_of_an_unknown_type(folder: Folder) -> None:
    other = folder.text_model(model_type="evil", auto_map={"AutoConfig": "evil.Evil"})
    folder.edit(hf_model_name=str(other))


def text_model_with_a_kernel(folder: Folder) -> None:
    folder.edit(hf_model_name=str(folder.text_model(attn_implementation="evil/kernel@main")))


def text_model_with_a_nested_kernel(folder: Folder) -> None:
    held = {"text_config": {"_attn_implementation": "evil/kernel"}}
    folder.edit(hf_model_name=str(folder.text_model(**held)))


def text_model_in_the_configuration(folder: Folder) -> None:
    folder.edit(hf_model_name="../no/such/place")


def text_model_of_another_address(folder: Folder) -> None:
    folder.edit(hf_model_name="http://127.0.0.1:9/model")


def huge_text_model(folder: Folder) -> None:
    folder.edit(hf_model_name=str(folder.text_model(hidden_size=60_000, num_hidden_layers=900)))


def deep_text_model(folder: Folder) -> None:
    folder.edit(hf_model_name=str(folder.text_model(num_hidden_layers=10**9)))


def fusion_with_code(folder: Folder) -> None:
    other = folder.text_model(auto_map={"AutoConfig": "evil.Evil"})
    folder.edit("multimodal_cfg", hf_model_name=str(other), tokenizer_kwargs={"trust_remote_code": True})


def tokenizer_folder_with_code(folder: Folder) -> None:
    other = folder.text_model()
    folder.tokenizer_with_code()
    folder.edit(hf_tokenizer_name=str(other))


def image_tower_elsewhere(folder: Folder) -> None:
    folder.edit("vision_cfg", timm_model_name=f"local-dir:{folder.text_model()}")


def image_tower_of_the_hub(folder: Folder) -> None:
    folder.edit("vision_cfg", timm_model_name="hf-hub:evil/model")


def layer_that_is_a_function(folder: Folder) -> None:
    folder.edit("", act_layer="os.system")


def number_format(folder: Folder) -> None:
    folder.edit("", cast_dtype="float16")


def keywords_of_a_layer(folder: Folder) -> None:
    folder.edit(norm_kwargs={"device": "meta"})


def huge(part: str, **values: Any) -> Callable[[Folder], None]:
    def change(folder: Folder) -> None:
        if part == "vision_cfg":
            folder.edit(part, timm_model_name=None)
        folder.edit(part, **values)

    return change


def preprocess(**values: Any) -> Callable[[Folder], None]:
    return lambda folder: folder.edit("preprocess_cfg", **values)


def pipe(folder: Folder) -> None:
    (folder.path / "tokenizer.json").unlink()
    os.mkfifo(folder.path / "tokenizer.json")


def endless(folder: Folder) -> None:
    (folder.path / "vocab.json").symlink_to("/dev/zero")


def deep(folder: Folder) -> None:
    (folder.path / CONFIG).write_text('{"model_cfg":' + "[" * 100_000)


def long(folder: Folder) -> None:
    (folder.path / CONFIG).write_text(" " * (1 << 20) + "{}")


def no_object(folder: Folder) -> None:
    (folder.path / CONFIG).write_text('{"model_cfg": [1]}')


def no_text(folder: Folder) -> None:
    (folder.path / CONFIG).write_text('{"model_cfg": {"embed_dim": 16, "vision_cfg": {}}}')


def damaged_tokenizer(folder: Folder) -> None:
    (folder.path / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": -1}}}')


REFUSED: dict[str, Callable[[Folder], None]] = {
    **{
        change.__name__: change
        for change in (
            trust, tokenizer_auto_map, config_auto_map, tokenizer_proxies, tokenizer_elsewhere,
            tokenizer_class_by_keyword, word_list_elsewhere, pickled_weights, bare_pickle, old_pickle, tar_of_pickles,
            script, pickle_called_safetensors, text_model_with_code, text_model_with_code_of_an_unknown_type,
            text_model_with_a_kernel, text_model_with_a_nested_kernel, text_model_in_the_configuration,
            text_model_of_another_address, huge_text_model, deep_text_model, fusion_with_code,
            tokenizer_folder_with_code, image_tower_elsewhere, image_tower_of_the_hub, layer_that_is_a_function,
            number_format, keywords_of_a_layer, pipe, endless, deep, long, no_object, no_text, damaged_tokenizer,
        )
    },
    "wide": huge("vision_cfg", width=60_000, layers=900),
    "deep tower": huge("vision_cfg", layers=10**9),
    "large images": huge("vision_cfg", image_size=100_000),
    "stages": huge("vision_cfg", layers=[900, 900, 900, 900], width=60_000),
    "words": huge("text_cfg", vocab_size=1 << 22, width=60_000),
    "infinite": huge("text_cfg", width=1e999),
    "width that is text": huge("text_cfg", width="16"),
    "long texts": huge("text_cfg", context_length=10**6),
    "means that are words": preprocess(mean=["a", "b", "c"]),
    "means of one colour": preprocess(mean=[0.5]),
    "no deviation": preprocess(std=[0, 0, 0]),
    "mode": preprocess(mode="__import__('os')"),
    "interpolation": preprocess(interpolation="evil.Evil"),
}  # fmt: skip


def code_lies_about(folder: Folder) -> None:
    for name in ("__init__.py", "conftest.py", "sitecustomize.py", "tokenization_evil.py", "modeling.py", "json.py"):
        folder.code(name)


def map_beside_a_known_class(folder: Folder) -> None:
    folder.code("evil.py")
    folder.edit(file="tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})


def template_that_escapes(folder: Folder) -> None:
    made = f"os.mkdir({str(folder.sentinel)!r})"
    text = "{{ cycler.__init__.__globals__." + made + " }}"
    folder.edit(file="tokenizer_config.json", chat_template=text)
    (folder.path / "chat_template.jinja").write_text(text)


def links(folder: Folder) -> None:
    """A cache of the hub is made of these."""
    elsewhere = folder.path.parent / "blobs"
    elsewhere.mkdir()
    for name in (CONFIG, WEIGHTS, "tokenizer.json"):
        (folder.path / name).rename(elsewhere / name)
        (folder.path / name).symlink_to(elsewhere / name)


def weights_that_may_be_fetched(folder: Folder) -> None:
    folder.edit("vision_cfg", timm_model_pretrained=True)
    folder.edit(hf_model_pretrained=True)


def other_pickles_beside(folder: Folder) -> None:
    torch.save(Payload(folder.sentinel), folder.path / "aaa.bin")
    (folder.path / "training_args.bin").write_bytes(pickled(folder.sentinel))


def plain_pickled_weights(folder: Folder) -> None:
    """Tensors and nothing else, as the hub has of many encoders."""
    torch.save(load_file(folder.path / WEIGHTS), folder.path / "open_clip_pytorch_model.bin")
    (folder.path / WEIGHTS).unlink()


HARMLESS = (
    code_lies_about, map_beside_a_known_class, template_that_escapes, links, weights_that_may_be_fetched,
    other_pickles_beside, plain_pickled_weights,
)  # fmt: skip
