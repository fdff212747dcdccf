"""The decoder's weights are averaged with earlier ones, and nothing else is."""

import torch

from samples.build.mllm import average_with


def test_the_decoder_moves_by_the_share_and_the_rest_stays() -> None:
    model = torch.nn.ModuleDict({"model": torch.nn.ModuleDict({part: torch.nn.Linear(1, 1, bias=False) for part in
                                ("language_model", "vision_tower", "multi_modal_projector")})})  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 4.0)
    earlier = {name: torch.tensor([[8.0]]) for name in model.state_dict()}
    average_with(model, earlier, 0.25)
    moved = {name.split(".")[1]: value.item() for name, value in model.state_dict().items()}
    assert moved == {"language_model": 5.0, "vision_tower": 4.0, "multi_modal_projector": 4.0}
