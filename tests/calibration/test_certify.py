"""From outcomes to what is certified, and how that is said."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import calibration
from calibration import (
    P_VALUES,
    Certificate,
    DomainResult,
    HypothesisFamily,
    OutcomeTable,
    Policy,
    PolicyGrid,
    certify,
    choose_policies,
    measure_policies,
    wsr_p_value,
)
from calibration.checks import FloatArray
from tests.results import numbers_certified, with_certified
from titrate import InputError, NothingCertifiedError

Certify = Callable[..., Certificate]
Outcomes = Callable[..., OutcomeTable]
FINGERPRINTS = dict.fromkeys(calibration.FINGERPRINTS, "1")


def risks(result: DomainResult) -> list[float]:
    return [row.risk for row in result.policies]


def test_results_by_hand(certificate: Certify) -> None:
    result = certificate(procedure="sgt", p_value="wsr").domains["radiology"]
    assert (result.n_units, result.n_questions, result.grid) == (100, 100, PolicyGrid(2))
    assert risks(result) == [0.5, 0.0, 0.0]
    assert numbers_certified(result) == [1, 2]
    assert result.policy == Policy(1)  # as good as 2, with fewer contexts
    assert result.chosen == result.policies[1]
    assert result.further_units is None
    p_values = [row.p_value for row in result.policies]
    assert p_values[0] > 0.1 / 6 > p_values[1] == p_values[2]
    assert [row.weight for row in result.policies] == [1 / 6] * 3
    assert [row.deviation for row in result.policies] == [0.5, 0, 0]
    assert [row.contexts for row in result.policies] == [0, 1, 2]
    # 100 patients, half of them wrong: the mean of 100 coins lies within 0.5 -+ 1.96 * 0.05 = 0.40 to 0.60.
    assert result.policies[0].interval == pytest.approx((0.4, 0.6), abs=0.015)
    assert result.policies[1].interval == (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_chosen_without_a_certificate_is_what_the_certificate_chooses(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def table(prefix: str) -> OutcomeTable:
        wrong = (rng.random((240, 4)) < [0.5, 0.3, 0.05, 0.05]).astype(float)
        names = [f"{prefix}{row}" for row in range(240)]
        units = [f"{prefix}-unit{row // 2}" for row in range(240)]
        domains = ["radiology" if row < 160 else "pathology" for row in range(240)]
        return OutcomeTable(names, units, domains, wrong, rng.random((240, 4)), [["yes"] * 4] * 240)

    calibrate, prefer = table("c"), table("p")
    for procedure, p_value, prior in (("closed-e", "star", prefer), ("sgt", "wsr", None)):
        expected = certify(
            calibrate, alpha=0.3, delta=0.1, fingerprints=FINGERPRINTS, procedure=procedure, p_value=p_value,
            taus=(0.3,), prior_outcomes=prior,
        )  # fmt: skip
        grid = PolicyGrid(3, taus=(0.3,))
        family = HypothesisFamily(0.3, 0.1, grid, ("pathology", "radiology"), procedure, p_value, prior)
        chosen = choose_policies(calibrate, family)
        assert chosen == {name: result.policy for name, result in expected.domains.items()}
        assert chosen["radiology"] is not None
    with pytest.raises(InputError):
        choose_policies(prefer, HypothesisFamily(0.3, 0.1, PolicyGrid(3), ("radiology",), prior_outcomes=prefer))


def test_measured_without_a_test_is_what_the_certificate_holds(certificate: Certify, two_domains: OutcomeTable) -> None:
    part, grid = two_domains.select("pathology"), PolicyGrid(2, taus=(0.4, 0.6))
    rows = certificate(taus=(0.4, 0.6)).domains["pathology"].policies
    for table in (part, part.take(range(19, -1, -1))):
        for measured, row in zip(measure_policies(table, grid, alpha=0.4), rows, strict=True):
            assert (measured.policy, measured.interval) == (row.policy, row.interval)
            assert (measured.risk, measured.coverage) == pytest.approx((row.risk, row.coverage))
            assert (measured.contexts, measured.deviation) == pytest.approx((row.contexts, row.deviation))
    # All confidences are 0.5: above 0.6 nothing is answered, which counts as risk 1, with no evidence either way.
    assert [(row.risk, row.interval, row.coverage) for row in rows[6:]] == [(1, (1, 1), 0)] * 3
    assert [row.deviation for row in rows[6:]] == pytest.approx([0] * 3, abs=1e-12)


def test_every_domain_and_every_k_is_in_the_family(outcomes: Outcomes) -> None:
    # 13 right of 13 at the largest bet, 0.75 / 0.6: p = 1.5^-13 = 0.0051, enough for 0.1 / 3, not for 0.1 / 21.
    few, many = np.zeros((13, 3)), np.zeros((13, 21))

    def tested(losses: FloatArray, domains: list[str] | None = None) -> Certificate:
        table = outcomes(losses, domains)
        return certify(table, alpha=0.4, delta=0.1, fingerprints=FINGERPRINTS, procedure="sgt", p_value="wsr")

    three = tested(few)
    assert three.policy("radiology") == Policy(0)
    assert [row.p_value for row in three.domains["radiology"].policies] == pytest.approx(
        [1.5**-13] * 3, rel=1e-12, abs=0
    )
    assert not tested(many).certified_domains
    seven = tested(np.zeros((91, 3)), [name for name in "abcdefg" for _ in range(13)])
    assert not seven.certified_domains
    assert seven.domains["a"].further_units == 1  # 1.5^-14 = 0.0034 <= 0.1 / 21 < 1.5^-13


def test_nothing_certified_says_what_is_missing(certificate: Certify) -> None:
    result = certificate().domains["pathology"]
    assert (result.certified, result.chosen, result.policy) == ((), None, None)
    assert result.best(0.4).policy == Policy(0)
    assert result.further_units is not None
    # 7/20 against 0.4: (2 log 20) 0.35 0.65 / 0.05^2 = 545 for an even chance, all three policies being alike.
    assert 500 < result.further_units < 3000
    with pytest.raises(NothingCertifiedError, match=r"35\.0% over 20 patients") as error:
        certificate().policy("pathology")
    assert f"about {result.further_units} more patients like these would be enough with a chance of 80%" in str(
        error.value
    )
    other = certificate(procedure="sgt", p_value="binomial")
    assert "other patients like these would be enough" in other.sentence("pathology")
    assert certificate().certified_domains == ("radiology",)


def test_nothing_certified_and_no_hope(certificate: Certify, outcomes: Outcomes) -> None:
    hopeless = certificate(alpha=0.3)
    assert hopeless.domains["pathology"].further_units is None
    assert "more patients like these would not help" in hopeless.sentence("pathology")
    close = outcomes(np.repeat([[0.0], [1.0]], [5001, 4999], axis=0))
    assert certify(close, alpha=0.5001, delta=0.1, fingerprints=FINGERPRINTS).domains["radiology"].further_units is None


def test_sentences(certificate: Certify) -> None:
    made = certificate()
    assert made.sentence("radiology") == (
        "In radiology (images routed there and not declined; no question was), the model answers from the image and "
        "the report of the most similar case: with 90% confidence, the mean error over patients is at most 40% "
        "(measured: 0.0% over 100 patients)."
    )
    assert "(images routed there and not declined; 1 question was)" in replace(made, declined=1).sentence("radiology")
    studies = replace(made, declined=7, unit="study").sentence("radiology")
    assert "(images routed there and not declined; 7 questions were)" in studies
    assert "the mean error over studies is at most 40% (measured: 0.0% over 100 studies)" in studies
    nothing = made.sentence("pathology")
    assert nothing.startswith(
        "In pathology (images routed there and not declined; no question was), nothing is certified: no number of "
        "reports k shows with 90% confidence that the mean error over patients is at most 40% (the best, k = 0, "
        "measured 35.0% over 20 patients, p = "
    )
    alone = replace(with_certified(made.domains["radiology"], [0]), n_units=1)
    assert "the model answers from the image alone (no reports): with" in replace(
        made, domains={"radiology": alone}
    ).sentence("radiology")
    assert "over 1 patient)" in replace(made, domains={"radiology": alone}).sentence("radiology")
    for ask in (made.sentence, made.policy, made.result):
        with pytest.raises(InputError, match="covers pathology, radiology, not dermatology"):
            ask("dermatology")


def test_patients_not_questions_are_counted(outcomes: Outcomes) -> None:
    # Two patients with 50 questions each, all of one wrong: a mean of 1/2 over n = 2, not over n = 100.
    losses = np.repeat([[0.0], [1.0]], 50, axis=0)
    table = outcomes(losses, units=["p1"] * 50 + ["p2"] * 50)
    result = certify(table, alpha=0.9, delta=0.1, fingerprints=FINGERPRINTS).domains["radiology"]
    assert (result.n_units, result.n_questions, risks(result)) == (2, 100, [0.5])
    assert not result.certified
    unequal = outcomes(losses, units=["p1"] * 50 + ["p1"] * 49 + ["p2"])
    result = certify(unequal, alpha=0.9, delta=0.1, fingerprints=FINGERPRINTS).domains["radiology"]
    assert risks(result) == pytest.approx([(49 / 99 + 1) / 2])


def test_the_order_of_questions_changes_nothing_but_the_names_of_patients_may(
    certificate: Certify, two_domains: OutcomeTable
) -> None:
    table = two_domains
    order = np.random.default_rng(9).permutation(120).tolist()
    mixed = OutcomeTable(
        question_ids=[table.question_ids[i] for i in order],
        units=[table.units[i] for i in order],
        domains=[table.domains[i] for i in order],
        losses=table.losses[order],
        confidences=table.confidences[order],
        answers=[table.answers[i] for i in order],
    )
    first = certificate()
    again = certify(mixed, alpha=0.4, delta=0.1, fingerprints=FINGERPRINTS)
    assert replace(again, created=first.created) == first
    p_values = set()
    for hospital in range(5):
        renamed = replace(table, units=[f"{hospital}/{unit}" for unit in table.units])
        made = certify(renamed, alpha=0.4, delta=0.1, fingerprints=FINGERPRINTS)
        p_values.add(made.domains["pathology"].policies[0].p_value)
    assert len(p_values) > 1


def test_a_sorted_file_is_not_tested_in_its_order(outcomes: Outcomes) -> None:
    losses = np.repeat([[0.0], [1.0]], [60, 40], axis=0)  # in this order the right answers alone would certify
    level = 0.1
    assert wsr_p_value(losses, 0.3, level)[0] <= level
    assert not certify(outcomes(losses), alpha=0.3, delta=level, fingerprints=FINGERPRINTS).certified_domains


@pytest.mark.parametrize("p_value", P_VALUES)
def test_every_p_value_certifies_good_data_and_is_named(p_value: str, certificate: Certify) -> None:
    made = certificate(procedure="sgt", p_value=p_value)
    assert made.p_value == p_value
    assert made.policy("radiology") == Policy(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": float("nan")}, "alpha"),
        ({"delta": 1}, "delta is 1"),
        ({"p_value": "bernstein"}, "unknown p-value bernstein; it can be star, wsr"),
        ({"procedure": "argmin"}, "unknown procedure argmin; it can be closed-e, sgt, holm, bonferroni"),
        ({"p_value": "wsr"}, "closed-e tests by the capital of star, not by wsr"),
        ({"fingerprints": {}}, "no fingerprint of encoder, index, prompt, mllm, questions"),
        ({"fingerprints": FINGERPRINTS | {"index": ""}}, "no fingerprint of index"),
    ],
)
def test_settings_that_are_refused(changes: dict[str, Any], message: str, certificate: Certify) -> None:
    with pytest.raises(InputError, match=message):
        certificate(**changes)
