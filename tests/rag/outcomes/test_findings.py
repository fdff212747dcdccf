"""Which findings sentences affirm: forms that reports take, each with what it says."""

import time
from pathlib import Path

import pytest

from rag import affirmed, finding_loss, load_loss
from rag.outcomes.losses import unread
from titrate import InputError

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


def test_a_yes_that_names_no_finding_is_found(tmp_path: Path) -> None:
    answers = [["Effusion.", "yes"], ["Yes.", "YES"], ["no", "No."], ["Yes, an effusion.", "eyes"], ["no", "no"]]
    references = ["No effusion.", "No.", "None.", "No mass.", "Yes."]
    names = tmp_path / "names.txt"
    names.write_text("effusion\nmass\n", encoding="utf-8")
    for loss in ("findings", f"findings:{names}"):
        (told,) = unread(loss, answers, references)
        assert told.startswith("3 of 5 open questions have a yes that names no finding")
    assert unread("tokens", answers, references) == unread(None, answers, references) == []


def test_a_set_that_names_no_finding_at_all_is_told_of() -> None:
    (told,) = unread("findings", [["Clear lungs."], ["Cataract."]], ["Cataract.", "Clear."])
    assert told.startswith("none of the 2 open questions has a reference that names a finding")
    assert unread("findings", [["Clear lungs."], ["Cataract."]], ["No effusion.", "Clear."]) == []


FOREIGN = [
    "双肺未见明显异常，无积液。", "右肺 CT: pneumonia 肺炎", "両側胸水を認めない。", "لا يوجد انصباب جنبي",
    "Выпота нет",
    "ไม่มีน้ำในช่องเยื่อหุ้มปอด", "흉수 없음", "Kein Pleuraerguss, das Herz ist nicht vergrößert.",
    "Pas d'épanchement, le cœur est normal.", "Sin derrame pleural; los pulmones sin lesiones.",
]  # fmt: skip
ENGLISH = ["No effusion.", "T2 > 3 µm, α-fetoprotein", "Cor pulmonale, situs solitus", "PAS positive", "Sjögren", "±"]


def test_findings_of_other_languages_are_refused_not_counted(tmp_path: Path) -> None:
    """All of these name no finding in English: both texts empty, which is no loss, and was certified."""
    for text in FOREIGN:
        with pytest.raises(InputError, match=r"is not in English, and findings are read in English only; use --loss"):
            finding_loss("No effusion.", text)
        assert finding_loss(text, "No effusion.") == finding_loss(text, "Effusion.") == 1
        assert unread("findings", [["No effusion."], [text]], ["No effusion."] * 2)[0].startswith("1 of 2 open")
    for text in ENGLISH:
        assert finding_loss(text, text) == 0
    names = tmp_path / "names.txt"
    names.write_text("pneumonia\n肺炎\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"names.txt: the finding 肺炎 is not in English, and findings"):
        load_loss(f"findings:{names}")


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
