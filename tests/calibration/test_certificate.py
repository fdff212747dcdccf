"""A certificate's file, and what it refuses."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import calibration
from calibration import Certificate, OutcomeTable
from titrate import InputError
from titrate.files import hash_json

Certify = Callable[..., Certificate]
Edit = Callable[[dict[str, Any]], None]
FINGERPRINTS = dict.fromkeys(calibration.FINGERPRINTS, "1")


def test_round_trip(tmp_path: Path, certificate: Certify) -> None:
    made = certificate()
    made.save(tmp_path / "certificate.json")
    again = Certificate.load(tmp_path / "certificate.json")
    assert again == made
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "certificate.json").read_bytes()
    assert again.created.endswith("+00:00")
    assert set(again.versions) == {"titrate", "python", "numpy", "scipy"}


@pytest.mark.parametrize("changes", [{}, {"alpha": 0.3}, {"taus": (0.3, 0.6), "procedure": "holm"}])
def test_files_follow_the_schema_in_the_docs(
    tmp_path: Path, repository: Path, certificate: Certify, changes: dict[str, Any]
) -> None:
    certificate(**changes).save(tmp_path / "certificate.json")
    content = json.loads((tmp_path / "certificate.json").read_text())
    schema = json.loads((repository / "docs" / "certificate.schema.json").read_text())
    jsonschema.validate(content, schema)
    page = (repository / "docs" / "certificate.md").read_text()
    radiology = content["domains"]["radiology"]
    for name in (*content, *radiology, *radiology["policies"][0]):
        assert f"`{name}`" in page
    del radiology["policies"][0]["weight"]
    with pytest.raises(jsonschema.ValidationError, match="weight"):
        jsonschema.validate(content, schema)


def test_the_file_reads_as_a_table(tmp_path: Path, certificate: Certify) -> None:
    made = certificate(taus=(0.4,))
    made.save(tmp_path / "certificate.json")
    text = (tmp_path / "certificate.json").read_text()
    radiology = json.loads(text)["domains"]["radiology"]
    assert radiology["chosen"] == {"k": 1, "gamma": None, "tau": 0, "blend": "none", "gate": None}
    assert [(row["k"], row["gamma"], row["tau"]) for row in radiology["policies"]] == [
        (k, None, tau) for tau in (0, 0.4) for k in (0, 1, 2)
    ]
    lines = [line.strip() for line in text.splitlines()]
    for row, kept in zip(radiology["policies"], made.domains["radiology"].policies, strict=True):
        assert [json.loads(line.rstrip(",")) for line in lines if line.startswith('{"k": ')].count(row) >= 1
        assert (row["risk"], tuple(row["interval"]), row["p_value"]) == (kept.risk, kept.interval, kept.p_value)


def test_no_patient_is_named(tmp_path: Path, certificate: Certify, two_domains: OutcomeTable) -> None:
    made = certificate()
    made.save(tmp_path / "certificate.json")
    assert '"p17"' not in (tmp_path / "certificate.json").read_text()
    assert sha256(b"p17").hexdigest() not in (tmp_path / "certificate.json").read_text(), "nor by what can be guessed"
    assert made.outcomes == two_domains.fingerprint


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("encoder", "encoder"),
        ("index", "index"),
        ("prompt", "prompt"),
        ("mllm", "model or its adapter"),
        ("questions", "question file"),
        ("adapter", "adapter"),
    ],
)
def test_verify_names_what_changed(name: str, spoken: str, certificate: Certify) -> None:
    message = f"^the {spoken} changed since calibration; run calibrate again$"
    with pytest.raises(InputError, match=message):
        certificate().verify(FINGERPRINTS | {name: "other"})
    with pytest.raises(InputError, match=message):
        certificate(fingerprints=FINGERPRINTS | {name: "other"}).verify(FINGERPRINTS)


def test_verify_names_all_that_changed_and_passes_what_did_not(certificate: Certify) -> None:
    made = certificate()
    made.verify(FINGERPRINTS)
    made.verify({name: value for name, value in FINGERPRINTS.items() if name != "questions"})
    with pytest.raises(InputError, match="the index and the model or its adapter changed"):
        made.verify(FINGERPRINTS | {"index": "2", "mllm": "2"})
    with pytest.raises(
        InputError, match="the encoder and the index and the prompt and the model or its adapter changed"
    ):
        made.verify({})


def seal(content: dict[str, Any]) -> None:
    """Make digest and seal those of what the certificate now says."""
    content["digest"] = hash_json({k: v for k, v in content.items() if k not in ("created", "digest", "seal")})
    content["seal"] = hash_json({k: v for k, v in content.items() if k != "seal"})


def change(path: tuple[str | int, ...], value: Any) -> Edit:
    def apply(content: Any) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return apply


RADIOLOGY = ("domains", "radiology")
SOURCE = {"source": "here", "n_units": 40, "n_questions": 40, "risk": 0.1, "interval": [0.0, 0.2], "coverage": 1.0}
NO_SOURCE = {**SOURCE, "source": None, "n_units": 60, "n_questions": 60}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change(("alpha",), 1.4), "alpha is not a number in"),
        (change(("alpha",), float("nan")), "is not JSON"),
        (change(("alpha",), 10**400), "alpha is not a number in"),
        (change(("delta",), "0.1"), "delta is not a number in"),
        (change(("seed",), 0), "has unknown seed"),
        (change(("unit",), None), "unit is not text"),
        (change(("created",), "yesterday"), "created is not a time"),
        (change(("fingerprints",), []), "fingerprints is not an object"),
        (change(("fingerprints", "index"), 3), "fingerprints index is not text"),
        (change(("domains",), []), "domains is not an object"),
        (change(RADIOLOGY, []), "radiology: expected an object"),
        (change((*RADIOLOGY, "colour"), 1), "radiology: has unknown colour"),
        (change((*RADIOLOGY, "policies"), {}), "radiology: policies is not a list"),
        (change((*RADIOLOGY, "policies"), []), "radiology: policies is empty"),
        (change((*RADIOLOGY, "policies", 1), 7), "radiology, policy 2: expected an object"),
        (change((*RADIOLOGY, "policies", 1, "colour"), 1), "radiology, policy 2: has unknown colour"),
        (lambda content: content["domains"]["radiology"]["policies"][2].pop("risk"), "policy 3: lacks risk"),
        (change((*RADIOLOGY, "policies", 1, "risk"), 1.2), "policy 2: risk is not a number in"),
        (change((*RADIOLOGY, "policies", 1, "p_value"), "0"), "policy 2: p_value is not a number in"),
        (change((*RADIOLOGY, "policies", 1, "coverage"), None), "policy 2: coverage is not a number in"),
        (change((*RADIOLOGY, "policies", 1, "weight"), -0.1), "policy 2: weight is not a number in"),
        (change((*RADIOLOGY, "policies", 1, "weight"), 0.5), "the weights of all policies of all domains do not add"),
        (change((*RADIOLOGY, "policies", 1, "deviation"), -0.1), "deviation is not a finite number of at least 0"),
        (change((*RADIOLOGY, "policies", 1, "contexts"), 10**400), "contexts is not a finite number"),
        (change((*RADIOLOGY, "policies", 1, "certified"), 1), "certified is neither true nor false"),
        (change((*RADIOLOGY, "policies", 1, "interval"), [0.1]), "interval is not a low and a high number"),
        (change((*RADIOLOGY, "policies", 1, "interval"), [0.2, 0.1]), "interval is not a low and a high number"),
        (change((*RADIOLOGY, "policies", 1, "interval"), 0.1), "interval is not a list"),
        (change((*RADIOLOGY, "policies", 1, "k"), -1), "k is not a whole number of at least 0"),
        (change((*RADIOLOGY, "policies", 1, "k"), 2), "radiology: policies are not every k"),
        (change((*RADIOLOGY, "policies", 2, "k"), 10**400), "k is not a whole number of at least 0, or too large"),
        (change((*RADIOLOGY, "policies", 2, "k"), 10**9), "radiology: policies are not every k"),
        (change((*RADIOLOGY, "policies", 1, "gamma"), -1), "gamma is not a finite number of at least 0"),
        (change((*RADIOLOGY, "policies", 1, "gamma"), 0.5), "radiology: policies are not every k"),
        (change((*RADIOLOGY, "policies", 1, "tau"), 1.5), "tau is not a number in"),
        (change((*RADIOLOGY, "policies", 1, "tau"), 0.5), "radiology: policies are not every k"),
        (lambda content: content["domains"]["radiology"]["policies"].reverse(), "policies are not every k"),
        (
            lambda content: content["domains"]["radiology"]["policies"].pop(),
            "log_capitals are not a number for each policy",
        ),
        (change((*RADIOLOGY, "chosen"), 1), "chosen is not the certified policy that answers most"),
        (change((*RADIOLOGY, "chosen", "k"), 2), "chosen is not the certified policy that answers most"),
        (change((*RADIOLOGY, "chosen"), None), "chosen is not the certified policy that answers most"),
        (change((*RADIOLOGY, "policies", 1, "certified"), False), "chosen is not the certified policy"),
        (change((*RADIOLOGY, "stopped"), "tired"), "stopped is none of all, certified, futile"),
        (change((*RADIOLOGY, "planned_units"), 99), "fewer were planned than tested"),
        (change((*RADIOLOGY, "planned_questions"), 99), "fewer were planned than tested"),
        (change(("prior",), "prefer"), "prior and prior_table do not go together"),
        (change(("prior",), "hunch"), "prior and prior_table do not go together"),
        (change(("sequential",), 0), "sequential is neither true nor false"),
        (change(("disjoint_from",), "train"), "disjoint_from is not a list"),
        (change((*RADIOLOGY, "further_units"), 3), "further_units are named although something is certified"),
        (change((*RADIOLOGY, "further_units"), 0), "further_units is not a whole number of at least 1"),
        (change(("look",), 0), "look is not a whole number of at least 1"),
        (change(("spent",), 0.1), "spent leaves nothing of delta"),
        (change((*RADIOLOGY, "policies", 0, "question_risk"), 0.49), "risk and question_risk do not go together"),
        (change((*RADIOLOGY, "n_questions"), 99), "there are fewer questions than units"),
        (change(("sources",), {"cardiology": [SOURCE]}), "sources: cardiology: no domain"),
        (change(("sources",), {"radiology": [SOURCE]}), "the questions of the sources do not add up to those tested"),
        (change(("sources",), {"radiology": [SOURCE, SOURCE]}), "sources are not sorted, each once, with null at the"),
        (change(("sources",), {"radiology": [NO_SOURCE, SOURCE]}), "sources are not sorted, each once, with null at"),
        (change(("sources",), {"radiology": [{**SOURCE, "n_units": 41}, NO_SOURCE]}), "more units than there can be"),
        (change(("sources",), {"radiology": [{**SOURCE, "source": ""}]}), "source is not text"),
        (change(("sources",), {"radiology": [{**SOURCE, "interval": [0.2, 0.1]}]}), "interval is not a low and a high"),
        (change(("sources",), []), "sources is not an object"),
        (change(("rounds",), [100, 21]), "rounds do not add up to the patients"),
        (change(("rounds",), [121, -1]), "rounds is not a whole number of at least 0"),
        (change(("outcomes",), 7), "outcomes is not text"),
        (change(("schema_version",), 6), "not a certificate of schema version 7; run calibrate again"),
        (lambda content: content.pop("delta"), "lacks delta"),
        (lambda content: content.pop("digest"), "lacks digest"),
        (lambda content: content.clear(), "not a certificate of schema version 7"),
    ],
)
def test_malformed_files(tmp_path: Path, edit: Edit, message: str, certificate: Certify) -> None:
    path = tmp_path / "certificate.json"
    certificate().save(path)
    content = json.loads(path.read_text())
    edit(content)
    if "digest" in content:  # so that it is not the seal alone that refuses
        seal(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        Certificate.load(path)
    assert "\n" not in str(error.value)
    assert "run calibrate again" in str(error.value)


@pytest.mark.parametrize("place", [("unit",), ("fingerprints", "index"), ("versions", "numpy")])
@pytest.mark.parametrize("text", ["\ud800", "patient\x1b]52;c;aGk=\x07", "patient\nIn all, certified", "\u202egnp"])
def test_texts_that_do_not_show_are_refused(
    tmp_path: Path, place: tuple[str, ...], text: str, certificate: Certify
) -> None:
    path = tmp_path / "certificate.json"
    certificate().save(path)
    content = json.loads(path.read_text())
    change(place, text)(content)
    if text.isascii() or text.startswith("\u202e"):  # half a surrogate has no bytes to be hashed, and is refused before
        seal(content)
    path.write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"holds \\[xnu].*, a character that does not show|half of a surrogate"
    ) as error:
        Certificate.load(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "edit",
    [
        change(("alpha",), 0.1),
        change(("fingerprints", "index"), "another"),
        change((*RADIOLOGY, "policies", 0, "deviation"), 0.51),
        change((*RADIOLOGY, "policies", 1, "p_value"), 0.0),
        change((*RADIOLOGY, "policies", 2, "interval"), [0.0, 0.01]),
        change(("disjoint_from",), ["train"]),
        change(("digest",), None),
    ],
)
def test_edited_files(tmp_path: Path, edit: Edit, certificate: Certify) -> None:
    path = tmp_path / "certificate.json"
    certificate().save(path)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="edited or damaged"):
        Certificate.load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"seed": ' + b"9" * 5000, b'{"unit": "\\ud800"}'],
)
def test_files_that_are_no_certificates(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "certificate.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is not JSON|is not a certificate"):
        Certificate.load(path)
    with pytest.raises(InputError, match="cannot read"):
        Certificate.load(tmp_path / "missing.json")
