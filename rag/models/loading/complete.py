"""Whether all of an adapter came from its files."""

from pathlib import Path

from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open

from titrate import InputError


def check_adapter(adapter: Path, name: str, model: PeftModel) -> None:
    """Refuse an adapter whose weights are not those that the model with it has.

    Parameters
    ----------
    adapter
        Its folder.
    name
        The model's, for the message.
    model
        The model with the adapter.

    Raises
    ------
    InputError
        If a weight of the adapter has no place in the model, or a place has no weight.
    """
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        given = set(file.keys())
    taken = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if strange := sorted(given ^ taken):
        raise InputError(
            f"adapter {adapter} was made for another model than {name}: {len(given - taken)} of its {len(given)} "
            f"weights have no place there and {len(taken - given)} are missing, {strange[0]} first; "
            "name the model it was made for"
        )
