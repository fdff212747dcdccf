"""Prompts that name a domain."""

from indexing.routing.zero_shot import default_prompts


def test_prompts_of_known_and_unknown_domains() -> None:
    prompts = default_prompts(["Radiology", "thermography"])
    assert "a chest X-ray image" in prompts["Radiology"]
    assert prompts["thermography"] == ["a thermography image"]
    assert len(default_prompts()) == 6
