"""Certificates that somebody edited, seal and all: each is refused in one line, with little memory and soon.

Whoever edits a certificate knows how its seal is made. So all of these carry a seal that fits, and what refuses them is
what they say.
"""

import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration import FINGERPRINTS, Certificate, OutcomeTable, SequentialCertifier, certify
from titrate import InputError
from titrate.files import hash_json

Edit = Callable[[Any], object]
_MOST_SECONDS, _MOST_BYTES = 5.0, 300 * 2**20


def _table(p_value: str) -> OutcomeTable:
    """Chest: 60 patients, of whom 20 lose at k = 0, none at 1, 2 at 2; skin: 20 patients, of whom 8 lose at every k."""
    losses = np.zeros((80, 3))
    losses[:60:3, 0] = 1
    losses[:2, 2] = 1
    losses[60:68] = 1
    if p_value != "binomial":
        losses[losses == 1] = 0.9
    return OutcomeTable(
        question_ids=[f"q{row}" for row in range(80)],
        units=[f"p{row}" for row in range(80)],
        domains=["chest"] * 60 + ["skin"] * 20,
        losses=losses,
        confidences=np.full(losses.shape, 0.5),
        answers=[["yes"] * 3] * 80,
    )


def _certificate(p_value: str = "star", procedure: str = "closed-e", **settings: Any) -> Certificate:
    prints = dict.fromkeys(FINGERPRINTS, "1")
    settings = {"alpha": 0.2, "delta": 0.1, "fingerprints": prints, "procedure": procedure, **settings}
    return certify(_table(p_value), p_value=p_value, **settings)


def _rewritten(path: Path, edit: Edit) -> Path:
    """The file after an edit, sealed again as whoever edits it can."""
    content = json.loads(path.read_text())
    edit(content)
    content["digest"] = hash_json({k: v for k, v in content.items() if k not in ("created", "digest", "seal")})
    content["seal"] = hash_json({k: v for k, v in content.items() if k != "seal"})
    path.write_text(json.dumps(content))
    return path


def _refused(path: Path) -> str:
    """The one line that refuses a file, which takes little memory and time."""
    began = time.process_time()
    with pytest.raises(InputError) as error:
        Certificate.load(path)
    taken = time.process_time() - began
    tracemalloc.start()
    with pytest.raises(InputError):
        Certificate.load(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < _MOST_SECONDS and most < _MOST_BYTES, (taken, most)
    assert "\n" not in str(error.value) and str(error.value).endswith("run calibrate again")
    return str(error.value)


def _row(content: Any, number: int, domain: str = "chest") -> Any:
    return content["domains"][domain]["policies"][number]


def _set(**changes: Any) -> Edit:
    return lambda content: content.update(changes)


def _in_domain(**changes: Any) -> Edit:
    return lambda content: content["domains"]["chest"].update(changes)


def _in_row(number: int, domain: str = "chest", **changes: Any) -> Edit:
    return lambda content: _row(content, number, domain).update(changes)


def _choose(content: Any, number: int, domain: str = "chest") -> None:
    names = ("k", "gamma", "tau", "blend", "gate")
    row = _row(content, number, domain)
    content["domains"][domain].update(chosen={name: row[name] for name in names}, further_units=None)


def _promote(content: Any) -> None:
    """Certify skin at k = 0, which erred in 36 %."""
    _row(content, 0, "skin")["certified"] = True
    _choose(content, 0, "skin")


def _promote_as_if_good(content: Any) -> None:
    """The same, told with a small risk and p-value."""
    _row(content, 0, "skin").update(risk=0.05, question_risk=0.05, p_value=0.05, deviation=0.2)
    _promote(content)


def _withdraw(content: Any) -> None:
    """Take one of the certified policies out."""
    _row(content, 2)["certified"] = False


def _many(content: Any) -> None:
    rows = content["domains"]["skin"]["policies"]
    content["domains"] = {"skin": content["domains"]["skin"]}
    rows[:] = [rows[0] | {"k": k, "weight": 1 / 6001} for k in range(6001)]
    content["domains"]["skin"]["policies"] = rows


def _huge_k(content: Any) -> None:
    for domain in ("chest", "skin"):
        _row(content, 2, domain)["k"] = 10**9


def _other_grid(content: Any) -> None:
    rows = content["domains"]["skin"]["policies"]
    rows[1]["weight"] += rows.pop()["weight"]


EDITS: dict[str, tuple[Edit, str]] = {
    "certified above alpha": (_promote, "certified although its measured risk is above alpha"),
    "certified without capital": (_promote_as_if_good, "certified is not what p_value"),
    "not certified any more": (_withdraw, "certified is not what p_value"),
    "alpha lowered below what was measured": (_set(alpha=0.02), "p_value is smaller than so few"),
    "delta lowered": (_set(delta=1e-6), "certified is not what p_value"),
    "delta of nearly 0": (_set(delta=5e-324), "alpha and delta are not between 0 and 1"),
    "alpha 0": (_set(alpha=0), "alpha and delta are not between 0 and 1"),
    "spent": (_set(spent=0.0999999), "certified is not what p_value"),
    "no capital": (_in_domain(log_capitals=[]), "certified is not what p_value"),
    "capital that p_value denies": (_in_domain(log_capitals=[[900.0] * 3]), "log_capitals are above what p_value"),
    "capital of no policy": (_in_domain(log_capitals=[[1.0]]), "log_capitals are not a number for each policy"),
    "capital for another test": (_set(procedure="sgt"), "log_capitals are given, which sgt does not test by"),
    "p-value for another test": (_set(p_value="wsr"), "procedure, p_value and sequential do not go together"),
    "unknown test": (_set(procedure="trust"), "procedure is none of"),
    "p-value of 0": (_in_row(2, p_value=0.0), "p_value is smaller than so few patients can show"),
    "p-value too small": (_in_row(2, p_value=1e-30), "p_value is smaller than so few patients can show"),
    "risk written down": (_in_row(0, risk=0.01, question_risk=0.01), "deviation is larger than such a risk allows"),
    "risk NaN": (_in_row(1, risk=float("nan")), "is not JSON"),
    "deviation": (_in_row(1, deviation=0.7), "deviation is larger"),
    "coverage without a threshold": (_in_row(0, coverage=0.5), "coverage is below 1 without a threshold"),
    "contexts": (_in_row(1, contexts=7.0), "contexts are more than k"),
    "weight moved": (
        lambda content: (_in_row(1, weight=0.3)(content), _in_row(0, weight=1 / 3 - 0.3)(content)),
        "weights differ although prior is uniform",
    ),
    "another policy chosen": (lambda content: _choose(content, 2), "chosen is not the certified policy"),
    "more patients planned": (_in_domain(planned_units=61), "stopped does not go with the patients tested"),
    "fewer patients": (_set(rounds=[59]), "rounds do not add up to the patients"),
    "more patients": (_set(rounds=[81]), "rounds do not add up to the patients"),
    "rounds of a test with one look": (_set(rounds=[40, 40], sequential=True, p_value="wsr"), "do not go together"),
    "questions": (_in_domain(n_questions=1, planned_questions=1), "there are fewer questions than units"),
    "10^400 patients": (_in_domain(n_units=10**400, planned_units=10**400), "n_units is not a whole number"),
    "k of 10^9": (_huge_k, "policies are not every k"),
    "6001 policies": (_many, "more than 5000 policies"),
    "grid of one domain": (_other_grid, "policies differ from domain to domain"),
    "no domain": (_set(domains={}), "domains is empty"),
    "time": (_set(created="2026-01-01T00:00:00"), "created names no time zone"),
    "unit": (_set(unit="pixel"), "unit is none of patient"),
    "questions of nowhere": (
        _set(questions={"heart": [{"options": ["no", "yes"], "units": 1, "wordings": ["0" * 64]}]}),
        "questions of heart, which is no domain",
    ),
    "wordings that are none": (
        _set(questions={"chest": [{"options": ["no", "yes"], "units": 1, "wordings": ["Is it?"]}]}),
        "wordings are not hashes",
    ),
    "kinds of more patients": (
        _set(questions={"chest": [{"options": ["no", "yes"], "units": 61, "wordings": ["0" * 64]}]}),
        "of more patients, or more wordings, than were tested",
    ),
    "prior": (_set(prior="prefer", prior_table="0" * 64, procedure="holm", p_value="star"), "holm takes no prior"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited(name: str, tmp_path: Path) -> None:
    _certificate().save(tmp_path / "certificate.json")
    loaded = Certificate.load(tmp_path / "certificate.json")
    assert [row.certified for row in loaded.domains["chest"].policies] == [False, True, True]
    edit, message = EDITS[name]
    assert message in _refused(_rewritten(tmp_path / "certificate.json", edit))


@pytest.mark.parametrize(
    ("p_value", "procedure"),
    [
        ("binomial", "sgt"),
        ("binomial", "bonferroni"),
        ("binomial", "holm"),
        ("hoeffding-bentkus", "sgt"),
        ("wsr", "sgt"),
        ("star", "holm"),
    ],
)
def test_edited_for_other_tests(p_value: str, procedure: str, tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    certificate = _certificate(p_value, procedure)
    certificate.save(path)
    assert Certificate.load(path) == certificate and certificate.domains["chest"].certified
    assert "certified is not what" in _refused(_rewritten(path, _withdraw))
    certificate.save(path)
    assert "measured risk is above alpha" in _refused(_rewritten(path, _promote))
    certificate.save(path)
    _rewritten(path, _promote_as_if_good)
    if p_value in ("binomial", "hoeffding-bentkus"):  # these follow from the risk
        assert "p_value is not that of such a risk" in _refused(path)
    certificate.save(path)

    def p_value_of_a_certified(content: Any) -> None:
        _row(content, 1)["p_value"] = 0.5

    assert "p_value" in _refused(_rewritten(path, p_value_of_a_certified))


def test_the_measured_risk_of_what_is_certified_is_at_most_alpha() -> None:
    """A bet that was won on the first 30 patients stays won; the 30 after them lose all."""
    table, order = _table("star"), []
    first = table.select("chest")
    settings: dict[str, Any] = {"alpha": 0.2, "delta": 0.1, "fingerprints": dict.fromkeys(FINGERPRINTS, "1")}
    earlier = [first.units[:30]]
    losses = np.zeros((60, 3))
    losses[30:] = 1
    late = OutcomeTable(first.question_ids, first.units, first.domains, losses, first.confidences, first.answers)
    for rows, before in ((range(30), []), (range(60), earlier)):
        made = certify(late.take(rows), earlier=before, **settings)
        order.append([(row.risk, row.certified, row.p_value < 0.1) for row in made.domains["chest"].policies])
    assert order == [[(0.0, True, True)] * 3, [(0.5, False, True)] * 3]


def test_early_stops_are_checked(tmp_path: Path) -> None:
    table = _table("wsr")
    certifier = SequentialCertifier(table.question_ids, table.units, table.domains, max_k=2, alpha=0.2, delta=0.1)
    while names := certifier.next(8):
        certifier.add(table.take([table.question_ids.index(name) for name in names]))
    certificate = certifier.certificate(dict.fromkeys(FINGERPRINTS, "1"))
    path = tmp_path / "certificate.json"
    certificate.save(path)
    assert Certificate.load(path) == certificate and certificate.domains["chest"].stopped == "certified"
    assert "stopped does not go" in _refused(_rewritten(path, _in_domain(stopped="futile")))
    certificate.save(path)
    assert "several rounds" in _refused(_rewritten(path, _set(rounds=[40, 40])))


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    _certificate().save(path)
    whole = path.read_text()
    for old, new in (
        ('"created": "2', '"created": "3'),
        ('"alpha": 0.2', '"alpha": 0.3'),
        ('"star"', '"wsr"'),
        ('"digest": "', '"digest": "0'),
    ):
        assert whole.count(old) == 1
        path.write_text(whole.replace(old, new))
        assert "edited or damaged since it was written" in _refused(path)
    path.write_text(whole.replace('"alpha": 0.2', '"alpha": 0.9, "alpha": 0.2'))
    assert "is not JSON" in _refused(path), "a name twice, which readers read otherwise"
    path.write_text(whole[: len(whole) // 2])
    assert "is not JSON" in _refused(path)


def test_files_without_end(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(20 * 2**30)  # sparse: it takes no space
    assert "is larger than 16 MiB" in _refused(large)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not an ordinary file" in _refused(pipe)
    assert "not an ordinary file" in _refused(Path("/dev/zero"))
    nested = tmp_path / "nested.json"
    nested.write_text("[" * 2**20)
    assert "is not JSON" in _refused(nested)
    wide = tmp_path / "wide.json"
    wide.write_text("[" + "[]," * 2**20 + "0]")
    with pytest.raises(InputError, match="is not a certificate"):
        Certificate.load(wide)
