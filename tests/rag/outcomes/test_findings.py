"""Which findings sentences affirm: forms that reports take, each with what it says."""

import time
from pathlib import Path

import pytest

from rag import affirmed, finding_loss, load_loss
from rag.outcomes.losses import nameless_yes

DENIED = [
    "No focal consolidation, pleural effusion, or pneumothorax.",
    "There is no consolidation, effusion or\n pneumothorax.",
    "The lungs are clear, without consolidation, effusion, or pneumothorax.",
    "No consolidation, effusion, pneumothorax.",
    "No consolidation, effusion and pneumothorax.",
    "No large effusion, large mass, or pneumothorax is seen.",
    "Neither consolidation, effusion nor edema is present.",
    "There is no effusion, nor is there pneumothorax.",
    "Negative for: pneumothorax, effusion and fracture.",
    "Lungs free of consolidation, effusion, or mass.",
    "no pneumonia/edema/effusion",
    "No pleural effusions, pneumothoraces, or opacities are seen.",
    "Effusion is not seen.",
    "A pneumothorax isn't seen.",
    "Effusion and pneumothorax are not identified.",
    "Effusion, pneumothorax and consolidation are absent.",
    "Effusion is neither seen nor suspected.",
    "The previously seen pneumothorax is no longer visualised.",
    "Pneumothorax: none",
    "Pleural effusion: None; Pneumothorax: No",
    "Pneumothorax - none. Effusion (none).",
    "Effusion? No.",
    "Effusion: not present.",
    "Mass/nodule: none",
    "The effusion has completely resolved.",
    "Complete resolution of the consolidation.",
    "There has been interval resolution of the effusion and edema.",
    "There is no mass effect.",
    "No focal consolidation; pleural effusion; or pneumothorax.",
    "No focal consolidation;\nEffusion;\nor pneumothorax is seen.",
    "No effusion; mild cardiomegaly; nor mass.",
    "No effusion; no mass; or pneumothorax.",
    "Effusion; pneumothorax; or mass is not seen.",
    "Negative for: effusion; mass; fracture.",
]
LEFT_OPEN = [
    "Possible effusion.",
    "Pneumonia cannot be excluded.",
    "Cannot exclude pneumonia.",
    "Atelectasis versus pneumonia.",
    "Evaluate for pneumonia.",
    "History of pneumonia.",
    "Pneumonia is unlikely.",
    "Findings concerning for pneumonia.",
]
AFFIRMED = [
    ("No effusion. Mild cardiomegaly.", "cardiomegaly"),
    ("No effusion, mild cardiomegaly.", "cardiomegaly"),
    ("No effusion and mild cardiomegaly.", "cardiomegaly"),
    ("No effusion, no pneumothorax, cardiomegaly.", "cardiomegaly"),
    ("No effusion or pneumothorax and there is a nodule.", "nodule"),
    ("Consolidation without effusion or pneumothorax.", "consolidation"),
    ("No evidence of pneumonia, but a small effusion.", "effusion"),
    ("No pneumothorax; however, there is a mass.", "mass"),
    ("Although there is no effusion, a nodule is seen.", "nodule"),
    ("No fracture, dislocation, or mass, and the lungs show an infiltrate.", "infiltrate"),
    ("FINDINGS: No consolidation.\nSmall effusion.\nNo mass.", "effusion"),
    ("There is a mass and effusion is not seen.", "mass"),
    ("Effusion: no, mass: yes", "mass"),
    ("Opacity which may represent pneumonia.", "opacity"),
    ("Opacity, likely atelectasis.", "opacity atelectasis"),
    ("No change in the large effusion.", "effusion"),
    ("The effusion has not resolved.", "effusion"),
    ("Partial resolution of the consolidation.", "consolidation"),
    ("There is no enhancement of the mass.", "mass"),
    ("A mass, not seen on the prior study.", "mass"),
    ("Non-displaced fracture.", "fracture"),
    ("No, there is an effusion.", "effusion"),
    ("No effusion; pneumothorax.", "pneumothorax"),  # a semicolon without "or" parts statements
    ("No effusion; cardiomegaly is present.", "cardiomegaly"),
    ("No effusion; cardiomegaly is present; or so it seems.", "cardiomegaly"),
    ("No effusion; there is a mass; or a nodule.", "mass nodule"),
    ("No effusion; mass; or pneumothorax; cardiomegaly.", "cardiomegaly"),
    ("Mass; effusion; or both.", "mass effusion"),
    ("Negative for: effusion; mild cardiomegaly; mass.", "cardiomegaly mass"),
    ("Effusion: none; mass: yes.", "mass"),
    ("Bilateral opacities and a small oedema.", "opacity edema"),
]


@pytest.mark.parametrize("sentence", DENIED + LEFT_OPEN)
def test_what_is_denied_or_left_open_is_not_affirmed(sentence: str) -> None:
    assert affirmed(sentence) == set()


@pytest.mark.parametrize(("sentence", "findings"), AFFIRMED)
def test_what_is_said_to_be_there_is_affirmed(sentence: str, findings: str) -> None:
    assert affirmed(sentence) == set(findings.split())


def test_a_list_with_commas_costs_what_sentences_with_stops_cost() -> None:
    commas = "There is no focal consolidation, pleural effusion, or pneumothorax."
    stops = "There is no focal consolidation. No pleural effusion. No pneumothorax."
    for answer in ("Clear.", "Small effusion.", commas, stops):
        assert finding_loss(answer, commas) == finding_loss(answer, stops)
    assert finding_loss("Clear.", commas) == 0


def test_a_yes_that_names_no_finding_is_found() -> None:
    answers = [["Effusion.", "yes"], ["Yes.", "YES"], ["no", "No."], ["Yes, an effusion.", "eyes"], ["no", "no"]]
    references = ["No effusion.", "No.", "None.", "No mass.", "Yes."]
    assert nameless_yes("findings", answers, references) == 3
    assert nameless_yes("findings:eyes.txt", answers, references) == 3
    assert nameless_yes("tokens", answers, references) == nameless_yes(None, answers, references) == 0


def test_a_list_of_ones_own_with_names_inside_names(tmp_path: Path) -> None:
    names = tmp_path / "eyes.txt"
    names.write_text("cataract\nproliferative retinopathy\nretinopathy\n", encoding="utf-8")
    loss = load_loss(f"findings:{names}")
    assert loss("Retinopathy.", "Non-proliferative retinopathy, no glaucoma or cataract.") == 0
    assert loss("No cataract.", "Cataracts: none") == 0
    assert loss("Retinopathy.", "Proliferative retinopathy.") == 1


def test_the_time_grows_with_the_length_only() -> None:
    start = time.process_time()
    for piece in ("no mass, ", "effusion is not seen ", "of the ", "mass\n", " \n", "mass; ", "no: mass; "):
        affirmed(piece * 2000)
    assert time.process_time() - start < 20
