"""What is lost where a report is too long: background first, the impression last, and never half a sentence."""

import pytest

from rag.shortening import ReadReport, shorten_report
from rag.token_budget import estimated_tokens, share_of_report

SECTIONS = (
    "Indication: one two three.\nTechnique: one two.\nComparison: one two.\n\n"
    "Findings: Heart large. Lungs clear. No effusion.\nImpression: Large heart. No pneumonia."
)


def words(text: str) -> int:
    return len(text.split())


def cut(report: str, limit: int) -> str:
    return shorten_report(report, limit, words).text


def test_what_fits_is_read_whole() -> None:
    assert shorten_report(" Clear\n lungs. ", 2, words) == ReadReport("Clear lungs.", cut=False)


@pytest.mark.parametrize(
    ("limit", "right"),
    [
        (
            21,
            "Indication: one two three. … Comparison: one two. Findings: Heart large. Lungs clear. No effusion. "
            "Impression: Large heart. No pneumonia.",
        ),
        (19, "Indication: one two three. … Findings: Heart large. Lungs clear. No effusion. Impression: Large heart. "
             "No pneumonia."),
        (16, "… Findings: Heart large. Lungs clear. No effusion. Impression: Large heart. No pneumonia."),
        (12, "… Findings: Heart large. Lungs clear. … Impression: Large heart. No pneumonia."),
        (11, "… Findings: Heart large. … Impression: Large heart. No pneumonia."),
        (8, "… Impression: Large heart. No pneumonia."),
        (6, "… Impression: Large heart. No pneumonia."),
        (5, "… Impression: Large heart. …"),
        (4, "… Impression: Large …"),
    ],
)  # fmt: skip
def test_what_goes_first(limit: int, right: str) -> None:
    assert cut(SECTIONS, limit) == right
    assert words(right) <= limit
    assert cut(right, limit) == right


def test_without_an_impression_the_middle_goes() -> None:
    """Conclusions stand last, also where no heading says so."""
    report = "Heart large. Lungs clear. Bones normal. No effusion. Most likely failure."
    assert cut(report, 9) == "Heart large. … No effusion. Most likely failure."
    assert cut(report, 6) == "Heart large. … Most likely failure."
    assert cut(report, 4) == "… Most likely failure."


def test_findings_under_a_heading_of_background_are_not_all_lost() -> None:
    """No heading tells where the findings begin: of each section, what fits is kept."""
    report = "FINAL REPORT EXAMINATION: CT. Large effusion. Small heart. No nodule. HISTORY: Cough."
    assert cut(report, 10) == "FINAL REPORT EXAMINATION: CT. … No nodule. HISTORY: Cough."


def test_half_a_sentence_may_say_the_opposite() -> None:
    """Only where no sentence fits is one broken off, between two words."""
    report = "Impression: Normal heart. An effusion was excluded by ultrasound."
    assert cut(report, 7) == "Impression: Normal heart. …"
    assert cut("An effusion was excluded by ultrasound.", 4) == "An effusion was …"
    letters = shorten_report("a" * 100, 16, estimated_tokens)
    assert letters == ReadReport("a" * 42 + " …", cut=True), "two tokens are the mark's"


def test_a_heading_stays_with_what_follows_it() -> None:
    assert cut("Technique: one two three.\n\nIMPRESSION:\n\nLarge heart.\n\nSmall lungs.", 6) == (
        "… IMPRESSION: Large heart. Small lungs."
    )
    assert cut("IMPRESSION:\n\nLarge heart.\n\nSmall lungs in all.", 4) == "IMPRESSION: Large heart. …"


def test_a_list_loses_whole_items() -> None:
    assert cut("IMPRESSION:\n1. Large heart.\n2. No effusion.\n3. Old fracture.", 8) == (
        "IMPRESSION: 1. Large heart. 2. No effusion. …"
    )
    assert cut("Impression\r\nLarge heart\r\nNo effusion\r\nOld fracture", 6) == "Impression Large heart No effusion …"


def test_the_estimate_by_hand() -> None:
    assert estimated_tokens("No effusion.") == 1 + 3 + 1
    assert estimated_tokens("3.4 cm") == 3 + 1
    assert estimated_tokens("Erguß") == 2 + 1
    assert estimated_tokens("") == 0


def test_the_budget_by_hand() -> None:
    assert share_of_report(4096, 36) == (3584 - 36) // 8
    assert share_of_report(4096, None) == 256
    assert share_of_report(131_072, 10_000) == 1024
    assert share_of_report(512, 4000) == 16


def test_a_sentence_without_spaces_is_broken_between_its_words() -> None:
    """The only space was once taken for the only place to break: of this, "CT …" was left."""
    assert shorten_report("CT 双肺见多发结节影与积液", 6, len) == ReadReport("CT 双 …", cut=True)
    assert shorten_report("右肺カテーテル留置", 6, len) == ReadReport("右肺 …", cut=True)  # one word of katakana


def test_a_sentence_of_chinese_is_no_heading() -> None:
    report = "右肺见一枚三厘米大小结节边界清楚\n左肺正常\n心影不大"
    assert shorten_report(report, 10, len) == ReadReport("… 心影不大", cut=True)


def test_sentences_end_in_arabic_and_urdu() -> None:
    assert shorten_report("هل هناك انصباب؟ لا يوجد انصباب۔ القلب طبيعي", 14, len) == ReadReport(
        "… القلب طبيعي", cut=True
    )
