"""Which parts of a report are told by their headings, in the spellings of several makers."""

import time

import pytest

from rag.sections import split_sections

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough.

 TECHNIQUE:  Chest PA and lateral
 radiographs were obtained.

 COMPARISON:  Chest radiograph dated ___ at 11:45.

 FINDINGS:

 There is a new effusion.

 IMPRESSION:

 New effusion."""


def ranks(report: str) -> list[tuple[str, str]]:
    """Name and words of each section."""
    return [(section.rank.name.lower(), " ".join(section.text.split())) for section in split_sections(report)]


def test_a_report_of_mimic_with_its_lines_and_on_one_line() -> None:
    right = [
        ("other", "FINAL REPORT"),
        ("examination", "EXAMINATION: CHEST (PA AND LAT)"),
        ("history", "INDICATION: ___ year old woman with cough."),
        ("technique", "TECHNIQUE: Chest PA and lateral radiographs were obtained."),
        ("comparison", "COMPARISON: Chest radiograph dated ___ at 11:45."),
        ("findings", "FINDINGS: There is a new effusion."),
        ("impression", "IMPRESSION: New effusion."),
    ]
    assert ranks(MIMIC) == ranks(" ".join(MIMIC.split())) == ranks(MIMIC.lower()[:0] + MIMIC.replace("\n", "\n\t"))
    assert ranks(MIMIC) == right


@pytest.mark.parametrize(
    ("report", "right"),
    [
        ("Clear lungs.", ["other"]),
        ("findings: clear. impression: normal.", ["findings", "impression"]),
        ("Indication: cough Findings: clear Impression: normal", ["history", "findings", "impression"]),
        ("**Findings**\n- Clear\n\n## Impression\nNormal", ["findings", "impression"]),
        ("IMPRESSION\nNormal\nCOMPARISON - none", ["impression", "comparison"]),
        ("1. FINDINGS: clear.\n2. CONCLUSION: normal.", ["findings", "impression"]),
        ("CT CHEST FINDINGS: clear.\nFINDINGS/IMPRESSION: normal.", ["findings", "impression"]),
        ("FINDINGS (CT chest):\nClear.\nIMPRESSION AND PLAN:\nNormal.", ["findings", "impression"]),
        ("Clear.IMPRESSION:Normal.", ["other", "impression"]),
        ("CLINICAL HISTORY: cough\nREASON FOR EXAM: effusion?", ["history", "history"]),
        ("Clinical diagnosis: carcinoma?\nDiagnosis: adenoma.", ["history", "impression"]),
        ("Technik: CT. Befund: Kein Erguss. Beurteilung: Normal.", ["technique", "findings", "impression"]),
        ("Indication : toux. Résultats : rien. Conclusion\u00a0: normal.", ["history", "findings", "impression"]),
        ("Hallazgos: nada. Impresión: normal.", ["findings", "impression"]),
        ("检查所见\uff1a双肺清晰。印象\uff1a正常。", ["findings", "impression"]),
        ("Impression: normal.\nElectronically signed by nobody.", ["impression", "signature"]),
        ("Clear. IMPRESSION 1. Normal.", ["other", "impression"]),
        ("[FINDINGS]: clear.\n[IMPRESSION]\nNormal.", ["findings", "impression"]),
        ("Image caption: A cyst.\nCase findings: A cyst.", ["findings", "findings"]),
        # What is no heading:
        ("The findings are normal. In comparison, worse.", ["other"]),
        ("My impression is that of a nodule: 3 mm.", ["other"]),
        ("Comparison shows progress: new nodule.", ["other"]),
        ("Note: a nodule. No history of trauma.", ["other"]),
        # Background ends with its paragraph, and at any other heading: what follows may be the findings.
        ("INDICATION: cough.\n\nThere is an effusion.\n\nIMPRESSION: Effusion.", ["history", "other", "impression"]),
        ("COMPARISON: ___ at 11:45\nLUNGS: clear\nHEART: large", ["comparison", "other"]),
        ("TECHNIQUE: CT of the chest. LUNGS: clear.", ["technique", "other"]),
    ],
)
def test_headings(report: str, right: list[str]) -> None:
    assert [name for name, _ in ranks(report)] == right


def test_nothing_is_lost() -> None:
    for report in (MIMIC, "a\n\nIMPRESSION:\n\n b \n", "COMPARISON:\n\n\nx\n\ny"):
        assert "".join("".join(section.text for section in split_sections(report)).split()) == "".join(report.split())


@pytest.mark.parametrize("part", ["Findings and ", "history/", "IMPRESSION: ", "- ", "(", "x. ", "\n \n", "HISTORY "])
def test_a_hostile_report_takes_no_long_time(part: str) -> None:
    began = time.perf_counter()
    split_sections(part * (100_000 // len(part)))
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("report", "right"),
    [
        (
            "检查方法：CT平扫。影像所见：双肺清晰。未见结节。诊断意见：未见异常。",
            [
                ("technique", "检查方法：CT平扫。"),
                ("findings", "影像所见：双肺清晰。未见结节。"),
                ("impression", "诊断意见：未见异常。"),
            ],
        ),
        (
            "【検査目的】咳嗽\n【所見】両肺に結節を認めない。\n【診断】異常なし",
            [
                ("history", "【検査目的】咳嗽"),
                ("findings", "【所見】両肺に結節を認めない。"),
                ("impression", "【診断】異常なし"),
            ],
        ),
        (
            "سبب الفحص: سعال. النتائج: لا يوجد انصباب. الانطباع: طبيعي",
            [
                ("history", "سبب الفحص: سعال."),
                ("findings", "النتائج: لا يوجد انصباب."),
                ("impression", "الانطباع: طبيعي"),
            ],
        ),
        (  # a heading that nobody knows ends the background: what follows may be the findings
            "病史：咳嗽\n胸部：右肺结节。",
            [("history", "病史：咳嗽"), ("other", "胸部：右肺结节。")],
        ),
        ("病史：咳嗽\n【胸部】右肺结节。", [("history", "病史：咳嗽"), ("other", "【胸部】右肺结节。")]),
        ("胸部CT所见及诊断：右肺结节。", [("impression", "胸部CT所见及诊断：右肺结节。")]),
    ],
)
def test_headings_of_languages_without_spaces(report: str, right: list[tuple[str, str]]) -> None:
    assert ranks(report) == right
