"""The figures of `benchmarks.results`, worked by hand on a few questions, and the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.results.ablations import compare_settings
from benchmarks.results.compare import compare
from benchmarks.results.leaning import leaning
from benchmarks.results.measures import Bootstrap, Estimate, mean_gain, ratio, realised_risk, relative_gains
from benchmarks.results.page import write_page
from benchmarks.results.violations import Population, violations, violations_at
from benchmarks.results.world import reachable_alpha
from calibration import Choices, OutcomeTable, Policy
from rag import Answered, ByPolicy, Choice, Outcomes, PromptTemplate, Question
from titrate import InputError


def test_gains_are_relative_and_every_source_counts_once() -> None:
    base = np.array([1, 0, 0, 0, 1, 1], dtype=bool)
    right = np.array([1, 1, 0, 0, 1, 0], dtype=bool)
    sources = np.array(["s"] * 4 + ["t"] * 2)
    boot = Bootstrap(list("abcdef"), draws=50)
    everything = np.ones(6, dtype=bool)
    gains = relative_gains(right, base, everything, sources, boot)
    assert gains["s"][0] == 1.0  # 2 of 4 after 1 of 4
    assert gains["t"][0] == -0.5  # 1 of 2 after 2 of 2
    assert mean_gain(gains)[0] == 0.25
    # Only the first two of s are answered, none of t: 2 of 2 after 1 of 2, and t has no part in the mean.
    some = np.array([1, 1, 0, 0, 0, 0], dtype=bool)
    gains = relative_gains(right, base, some, sources, boot)
    assert gains["s"][0] == 1.0
    assert np.isnan(gains["t"]).all()
    assert mean_gain(gains)[0] == 1.0
    # Never right without retrieval: no relative gain is to be had.
    assert np.isnan(mean_gain(relative_gains(right, np.zeros(6, dtype=bool), everything, sources, boot))).all()


def test_the_interval_draws_patients_with_all_their_questions() -> None:
    boot = Bootstrap(["a", "a", "b"], draws=400)
    right = np.array([True, True, False])
    shares = ratio(boot.total(right), boot.total(np.ones(3)))
    assert shares[0] == pytest.approx(2 / 3)
    assert {round(float(share), 6) for share in shares[1:]} == {0.0, round(2 / 3, 6), 1.0}
    assert Estimate.over([shares]).seeds == pytest.approx((2 / 3,))
    assert (Estimate.over([shares]).low, Estimate.over([shares]).high) == (0.0, 1.0)
    assert np.array_equal(boot.weights @ right, boot.total(right))


def test_seeds_are_averaged_draw_by_draw() -> None:
    first, second = np.array([0.2, 0.1, 0.3]), np.array([0.4, 0.5, 0.3])
    found = Estimate.over([first, second])
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.3, 0.3)), "in every draw their mean is 0.3"
    assert Estimate.over([np.array([0.2, np.nan]), np.array([np.nan, np.nan])]) == Estimate(
        0.2, None, None, (0.2, None)
    )


def test_the_risk_is_a_mean_over_patients_of_the_answers_given() -> None:
    # Patient a loses 1, 0 and 0, b loses 1: a third and 1, so two thirds; over questions it would be a half.
    losses, everything = np.array([1.0, 0, 0, 1]), np.ones(4, dtype=bool)
    boot = Bootstrap(["a", "a", "a", "b"], draws=1)
    assert realised_risk(losses, everything, everything, boot)[0] == pytest.approx(2 / 3)
    # Without a's first answer: E[l A] = (0 + 1) / 2, P(A) = (2/3 + 1) / 2.
    given = np.array([False, True, True, True])
    assert realised_risk(losses, given, everything, boot)[0] == pytest.approx(1 / (5 / 3))
    assert realised_risk(losses, everything, np.array([1, 1, 0, 0], dtype=bool), boot)[0] == 0.5


def outcomes(said: Mapping[str, Sequence[str]], domains: Mapping[str, str] | None = None) -> Outcomes:
    """Answers at each k to questions that all have the answer yes, each of a patient of its own."""
    questions = tuple(
        Question(id=name, image=Path("i.png"), text="Is it?", answer="yes", options=("yes", "no"), patient=name)
        for name in said
    )
    table = OutcomeTable(
        list(said),
        [question.unit for question in questions],
        [(domains or {}).get(name, "d") for name in said],
        np.array([[float(text != "yes") for text in row] for row in said.values()]),
        np.full((len(said), len(next(iter(said.values())))), 0.9),
        [list(row) for row in said.values()],
    )
    return Outcomes(table, questions, ((),) * len(said), PromptTemplate())


def test_comparators_side_by_side() -> None:
    judged = outcomes({"1": ["yes", "no"], "2": ["no", "yes"], "3": ["no", "yes"], "4": ["no", "no"]})
    none, contexts = (None,) * 4, np.zeros(4, np.int64)
    answered = [
        Answered("no retrieval", ("yes", "no", "no", "no"), contexts, none, {"d": Choice("k = 0", Policy(0))}),
        Answered("ours", ("no", "yes", "yes", None), contexts + 1, none, {"d": Choice("k = 1", Policy(1), True)}),
        Answered.nothing("none", 4, "not available"),
    ]
    # Another seed meets the same questions in another order, and a comparator that is always wrong there.
    turned = outcomes({name: ["no", "no"] for name in "4321"})
    wrong = [
        Answered("no retrieval", ("no", "no", "no", "yes"), contexts, none),
        Answered("ours", ("no",) * 4, contexts, none),
        Answered.nothing("none", 4, "not available"),
    ]
    sources = dict(zip("1234", "sstt", strict=True))
    base, ours, nothing = compare([(judged, answered)], sources, 0.3)
    assert base["accuracy"]["value"] == 0.25
    assert base["gain"]["value"] == base["difference"]["value"] == 0.0
    assert ours["accuracy"]["value"] == pytest.approx(2 / 3)
    assert ours["difference"]["value"] == pytest.approx(1 / 3)
    assert ours["right"]["value"] == 0.5
    assert ours["answered"]["value"] == 0.75
    assert ours["contexts"]["value"] == 1.0
    # s: 1 of 2 after 1 of 2. t: 1 of 1 after none, of which no relative gain is to be had.
    assert ours["gain"]["value"] == 0.0
    assert ours["sources"]["t"]["gain"]["value"] is None
    assert ours["sources"]["t"]["accuracy"]["value"] == 1.0
    of = ours["domains"]["d"]
    assert of["risk"]["value"] == pytest.approx(1 / 3)
    assert (of["promised"], of["above"], of["broken"]) == (1, 1, 1)
    assert base["domains"]["d"]["broken"] == 0
    assert nothing["accuracy"]["value"] is None
    assert nothing["note"] == "not available"
    both = compare([(judged, answered), (turned, wrong)], sources, 0.3)[1]
    assert both["right"]["seeds"] == (0.5, 0.0)
    assert both["right"]["value"] == 0.25
    with pytest.raises(InputError, match="compare like with like"):
        compare([(judged, answered), (turned, wrong[:2])], sources, 0.3)


class _Least(ByPolicy):
    """The k of least mean loss, promised to be good."""

    name = "least"

    def choose(self, calibrate: OutcomeTable | None, prefer: OutcomeTable | None) -> dict[str, Choice]:
        assert calibrate is not None
        best = int(calibrate.losses.mean(axis=0).argmin())
        return {"d": Choice("", Policy(best), True)}


def test_violations_on_a_population_whose_risks_are_known() -> None:
    # Three patients: k = 0 is wrong for one of them, k = 1 for two. So k = 1 is above 0.5, and is chosen only where the
    # patients drawn say so: of three draws at least two are the patient whom only k = 1 answers rightly.
    calibrate = outcomes({"1": ["yes", "no"], "2": ["yes", "no"]}).table
    test = outcomes({"3": ["no", "yes"]}).table
    population = Population(OutcomeTable.join([calibrate, test]))
    assert population.risk("d", Policy(0)) == pytest.approx(1 / 3)
    assert population.risk("d", Policy(1)) == pytest.approx(2 / 3)
    assert population.risk("d", Policy(1), np.array([True, False, False])) == 1.0
    drawn = population.drawn({"d": np.array([2, 2, 0])})
    assert list(drawn.units) == ["d/0", "d/1", "d/2"]
    assert drawn.losses.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    (found,) = violations([_Least()], calibrate, test, None, 0.5, 500)
    # Two are drawn; k = 1 has the least loss alone where both are the third patient: one in nine.
    assert found["above"] == found["broken"] == pytest.approx(1 / 9, abs=0.05)
    # Then neither of the others was drawn, and k = 1 fails both. Where both others were drawn, k = 0 is chosen and
    # fails the third: two in nine. In all other draws half of those left are failed at most.
    assert found["seen"] == pytest.approx(1 / 9 + 2 / 9, abs=0.07)
    assert found["chosen"] == found["promised"] == 1.0


def test_violations_are_kept_by_what_they_are_made_from(tmp_path: Path) -> None:
    def split(prefix: str) -> Outcomes:
        said = {f"{prefix}{row}": ("yes", "no" if row % 3 else "yes") for row in range(6)}
        one = outcomes(said)
        table = chances({name: [0.9, 0.1 if row % 3 else 0.9] for row, name in enumerate(said)})
        return replace(one, table=table)

    of = {name: split(name) for name in ("calibrate", "test", "prefer")}
    # At k = 0 nothing is ever wrong, so that no alpha is hard: 0 is no risk that could be promised.
    found = violations_at(of, 0.5, 0.1, 2, tmp_path)
    assert list(found["alphas"]) == ["0.5"]
    assert [row["above"] for row in found["alphas"]["0.5"][:2]] == [0.0, 1.0], "no retrieval, and k = 1: 2 of 3 wrong"
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({"kept": True}))
    assert violations_at(of, 0.5, 0.1, 2, tmp_path) == {"kept": True}
    assert violations_at(of, 0.5, 0.1, 3, tmp_path)["resamples"] == 3


def test_the_page_shows_every_figure(tmp_path: Path) -> None:
    judged = outcomes({"1": ["yes", "no"], "2": ["no", "yes"]})
    none, contexts = (None,) * 2, np.zeros(2, np.int64)
    answered = [
        Answered("no retrieval", ("yes", "no"), contexts, none, {"d": Choice("by whoever runs it", Policy(0))}),
        Answered("ours", ("yes", "yes"), contexts + 1, none, {"d": Choice("k = 1", Policy(1), True)}),
    ]
    made = {
        "encoder": "e" * 64, "mllm": "f" * 64, "seeds": [0], "alpha": 0.35, "delta": 0.1, "max_k": 1, "tuned": True,
        "sizes": {"questions": 2, "patients": 2},
    }  # fmt: skip
    figures = {"made": made, "comparators": compare([(judged, answered)], {"1": "s", "2": "s"}, 0.35)}
    text = write_page(tmp_path / "page", {"a": figures}, "make results").read_text()
    assert "| ours | 1.000 (1.000 to 1.000) | +0.500 (+0.000 to +1.000) | +100.0 %" in text
    assert "| ours | d | k = 1 | 0.000 (0.000 to 0.000) | 1 | 0 | 0 |" in text
    assert "make results WORLDS=a" in text


def chances(rows: Mapping[str, Sequence[float]]) -> OutcomeTable:
    """Questions by name, of a patient each, with the chance of the right answer at each k."""
    yes = np.array(list(rows.values()))
    choices = [Choices(("yes", "no"), np.log(np.stack([row, 1 - row], axis=1)), np.array([0.0, 1.0])) for row in yes]
    said = [["yes" if chance > 0.5 else "no" for chance in row] for row in yes]
    losses = (yes <= 0.5).astype(float)
    confidences = np.maximum(yes, 1 - yes)
    return OutcomeTable(list(rows), list(rows), ["d"] * len(rows), losses, confidences, said, choices=choices)


def test_leaning_of_policies_and_of_a_trained_model() -> None:
    # Alone a, b, c are right; with the report a and d. Half alone: a, b (0.9 and 0.3 make 0.6), not c (0.6 and 0.3).
    before = chances({"d": [0.1, 0.95], "c": [0.6, 0.3], "b": [0.9, 0.3], "a": [0.9, 0.9]})
    # The trained model, in another order: a, b, c alone, and all with the report.
    after = chances({"a": [0.9, 0.9], "b": [0.9, 0.9], "c": [0.6, 0.6], "d": [0.1, 0.6]})
    found = leaning([before], {"anchored": [after]})
    assert list(found) == ["all domains", "d"]
    assert found["d"] == found["all domains"]
    plain, half = found["d"][:2]
    assert (plain["policy"], half["policy"]) == ("k = 1", "k = 1, half alone")
    values = [plain[name]["value"] for name in ("over-reliance", "harm", "help", "accuracy")]
    assert values == pytest.approx([1.0, 2 / 3, 1.0, 0.5])
    assert [plain[f"{name} change"]["value"] for name in ("over-reliance", "harm", "help", "accuracy")] == [0.0] * 4
    # Wrong: c alone, which was right without. d: 0.1 and 0.95 make 0.525.
    assert half["harm"]["value"] == pytest.approx(1 / 3)
    assert half["harm change"]["value"] == pytest.approx(-0.5)
    assert half["accuracy change"]["value"] == 0.25
    trained = next(row for row in found["d"] if row["pairs"] and row["policy"] == "k = 1")
    assert trained["over-reliance"]["value"] is None, "no answer is wrong"
    assert trained["harm change"]["value"] == -1.0
    assert trained["accuracy change"]["value"] == 0.5


def test_alpha_is_within_reach_of_the_worst_domain_on_prefer() -> None:
    def table(wrong: Sequence[int]) -> OutcomeTable:
        """Ten patients in each of two domains; in the first so many are answered wrongly at each k, else none."""
        said = {f"p{row}": ["no" if row < bad else "yes" for bad in wrong] for row in range(10)}
        said |= {f"q{row}": ["yes"] * len(wrong) for row in range(10)}
        return outcomes(said, {name: name[0] for name in said}).table

    assert reachable_alpha([table([5, 3])]) == 0.35
    assert reachable_alpha([table([5, 3]), table([4, 5])]) == 0.4  # 0.3 and 0.4 are 0.35 on average
    assert reachable_alpha([table([10, 10])]) == 0.95


def test_settings_are_compared_on_the_same_questions() -> None:
    first = {"k = 1": np.array([True, False, False, True]), "vote": np.array([True] * 4)}
    other = {"k = 1": np.array([True, True, True, True])}
    base, found = compare_settings({"as above": first, "other": other}, list("abcd"))
    assert base["columns"]["k = 1"]["accuracy"]["value"] == 0.5
    assert base["columns"]["vote"]["difference"]["value"] == 0.0
    assert found["columns"]["k = 1"]["difference"]["value"] == 0.5
    assert list(found["columns"]) == ["k = 1"]
