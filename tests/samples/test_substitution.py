"""Words exchanged for invented ones: what is said stays, what it is said of means nothing."""

import random

from samples.build.invention.inventor import Inventor
from samples.build.invention.substitution import substitution

INVENTOR = Inventor(["vor"], ["granite", "violin", "harbour", "mitten", "lantern", "pebble", "anchor", "ribbon"])


def test_words_change_together_and_capitals_plurals_and_denials_stay() -> None:
    worded = substitution(INVENTOR, random.Random(2))
    report, question = worded("No effusions. Effusion of the left lung: 3 nodules."), worded("Is the effusion small?")
    new = question.split()[2]
    assert new != "effusion" and question == f"Is the {new} small?"
    assert report.startswith(f"No {new}s. {new.capitalize()} of the left ")
    assert ": 3 " in report and report.endswith("s.")
    assert not {"lung", "nodules", "effusion"} & set(report.lower().replace(".", "").replace(":", "").split())


def test_another_case_has_other_words() -> None:
    seen = {substitution(INVENTOR, random.Random(seed))("Effusion.") for seed in range(20)}
    assert len(seen) > 4


def test_what_every_report_says_means_what_it_means() -> None:
    same = "Is there evidence of a normal image? Yes. There is no sign of it on the right: mild, more than twenty."
    assert substitution(INVENTOR, random.Random(0))(same) == same
