"""The small MLLM: FastVLM's architecture, with the encoder's CNN as image tower, and a Qwen2 decoder."""

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import CLIPImageProcessor, FastVlmConfig, FastVlmForConditionalGeneration, LlavaProcessor

from samples.build import tokenizer as vocabulary
from samples.build.encoder import PIXELS
from samples.build.packing import Packed

PATCH = 32
IMAGE_TOKENS = (PIXELS // PATCH) ** 2

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<user>' if message.role == 'user' else '<assistant>' }}"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}{% endif %}"
    "{% if message.role == 'assistant' %}{{ '<eos>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def new_model() -> FastVlmForConditionalGeneration:
    """The model with random weights: 4.9 million parameters of the CNN, 3.5 million of decoder and vocabulary.

    The first head of each layer begins with queries like its keys: it attends to the same word elsewhere, which is how
    a report is looked up. The base of the rotary positions is large, so that it does so at any distance.
    """
    config = FastVlmConfig(  # type: ignore[call-arg]  # its signature lacks the arguments that every configuration accepts
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "resnet10t",
            "do_pooling": False,
            "hidden_size": 512,
            "model_args": {},
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": vocabulary.VOCABULARY,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            "attention_dropout": 0.0,
            "initializer_range": 0.06,
            "tie_word_embeddings": True,
            "pad_token_id": vocabulary.PAD_ID,
            "eos_token_id": vocabulary.EOS_ID,
            "bos_token_id": None,
        },
        image_token_index=vocabulary.IMAGE_ID,
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=vocabulary.PAD_ID,
        eos_token_id=vocabulary.EOS_ID,
    )
    model = FastVlmForConditionalGeneration(config)
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            attention = layer.self_attn
            matching = slice(attention.head_dim)
            attention.k_proj.weight[matching] = attention.q_proj.weight[matching]
    return model


def new_processor(words: Tokenizer) -> LlavaProcessor:
    """The model's processor, with the encoder's image preprocessing and vocabulary."""
    size = {"height": PIXELS, "width": PIXELS}
    images = CLIPImageProcessor(
        size=size, crop_size=size, do_center_crop=False, resample=3, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return LlavaProcessor(
        images,
        vocabulary.wrap(words, append_eos=False, max_length=4096),
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )


def feature_maps(model: FastVlmForConditionalGeneration, pixels: Tensor) -> Tensor:
    """The image tower's feature maps [n, tokens, channels] of images in [-1, 1]."""
    maps: Tensor = model.model.vision_tower(pixels.contiguous(memory_format=torch.channels_last)).last_hidden_state
    return maps.flatten(2).transpose(1, 2)


def compile_decoder(model: FastVlmForConditionalGeneration) -> None:
    """Make the decoder twice as fast on a CPU, for training: fused operations, and attention that is written out.

    PyTorch's fused attention takes longer than all matrix products of so small a decoder. A C++ compiler is needed.
    """
    model.set_attn_implementation("eager")
    model.model.language_model.config._attn_implementation = "eager"
    model.model.language_model.compile(dynamic=True)


def attention_bias(sees: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """What is added to attention scores, [n, 1, t, t]: ``sees``, bool [n, t, t], says what attends to what."""
    return torch.zeros(sees.shape, dtype=dtype).masked_fill(~sees, -1e4)[:, None]


def hidden_states(model: FastVlmForConditionalGeneration, batch: Packed, features: Tensor | None = None) -> Tensor:
    """The decoder's last hidden states [n, t, width] of a packed batch, with the image tower's features if any."""
    inner = model.model
    embeddings = inner.get_input_embeddings()(batch.ids)
    if features is not None:
        images = inner.multi_modal_projector(features).to(embeddings.dtype)
        embeddings = embeddings.masked_scatter((batch.ids == vocabulary.IMAGE_ID)[..., None], images)
    computed = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else embeddings.dtype
    hidden: Tensor = inner.language_model(
        inputs_embeds=embeddings,
        attention_mask=attention_bias(batch.sees, computed),
        position_ids=batch.positions,
        use_cache=False,
    ).last_hidden_state
    return hidden


def decoder_parameters(model: FastVlmForConditionalGeneration) -> list[torch.nn.Parameter]:
    """All parameters but those of the image tower."""
    return [value for name, value in model.named_parameters() if "vision_tower" not in name]
