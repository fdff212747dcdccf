"""Public archives as they are published: read with the file alone, or refused with what helps.

The columns, their order and the odd cells are those of the published files; the reports are made up.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexing import Record, SkippedRecord
from indexing.corpora.open import open_corpus
from titrate import InputError


def write(path: Path, text: str | bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_roco_captions_have_tabs_and_no_quoting(tmp_path: Path) -> None:
    lines = [
        'ROCO_00001\t "Bullous" changes of the left lung. \n',
        'ROCO_00002\t "Consolidation of the right lung.\n',
        "\n",
        "ROCO_00004\t A caption, with\ta tab\u2028and a separator\n",
        "continued on a line of its own\n",
        'ROCO_00005\t Effusion"\n',
        "ROCO_00006\t \n",
    ]
    for name in ("captions.txt", "captions.tsv"):
        corpus = open_corpus(write(tmp_path / name, "".join(lines)))
        assert len(corpus) == 6 and list(corpus) == [
            Record("ROCO_00001", "ROCO_00001.jpg", '"Bullous" changes of the left lung.'),
            Record("ROCO_00002", "ROCO_00002.jpg", '"Consolidation of the right lung.'),
            Record("ROCO_00004", "ROCO_00004.jpg", "A caption, with\ta tab\u2028and a separator"),
            SkippedRecord(5, None, "not an id of ROCO, a tab and a caption"),
            Record("ROCO_00005", "ROCO_00005.jpg", 'Effusion"'),
            SkippedRecord(7, "ROCO_00006", '"report" is missing or empty'),
        ]
    write(tmp_path / "images/ROCO_00001.jpg")
    first = next(iter(open_corpus(tmp_path / "captions.txt")))
    assert isinstance(first, Record) and first.image == "images/ROCO_00001.jpg"
    with pytest.raises(InputError, match="which has no columns; leave out --field"):
        open_corpus(tmp_path / "captions.txt", fields={"report": "caption"})
    with pytest.raises(InputError, match=r"a corpus is a .jsonl"):
        open_corpus(write(tmp_path / "keywords.txt", "chest\tlung\n"))
    with pytest.raises(InputError, match=r"has no column image; it has id, name, caption; name it with --field image="):
        open_corpus(write(tmp_path / "radiologytraindata.csv", "id,name,caption\nROCO_00001,PMC1.jpg,A\n"))


def test_roco_v2_captions(tmp_path: Path) -> None:
    text = 'ID,Caption\nROCOv2_2023_train_000001,"Effusion, left."\n'
    text += 'ROCOv2_2023_train_000002,"Open\nROCOv2_2023_train_3,"\n'
    corpus = open_corpus(write(tmp_path / "train_captions.csv", text))
    name = "ROCOv2_2023_train_000001"
    first, stray, last = corpus
    assert first == Record(name, f"{name}.jpg", "Effusion, left.")
    assert isinstance(stray, SkippedRecord) and "a quote that is never closed" in stray.reason
    assert isinstance(last, SkippedRecord) and last.line == 4
    write(tmp_path / f"train/{name}.jpg")
    first = next(iter(open_corpus(tmp_path / "train_captions.csv")))
    assert isinstance(first, Record) and first.image == f"train/{name}.jpg"


IU = "uid,MeSH,Problems,image,indication,comparison,findings,impression\n"


def test_iu_xray_joins_its_two_tables(tmp_path: Path) -> None:
    rows = [
        '1,normal,normal,Chest,TB test,None.,"The heart, XXXX, is normal.",Normal chest x-XXXX.',
        "2,Cardiomegaly/borderline,Cardiomegaly,Chest 2 views,XXXX,None.,Borderline heart.,",
        "3,normal,normal,Chest,,,,",
        "4,normal,normal,Chest,,,,Clear.",
    ]
    path = write(tmp_path / "indiana_reports.csv", IU + "\n".join(rows) + "\n")
    with pytest.raises(
        InputError, match=r"put the table of its images beside it, as indiana_reports.csv has indiana_p"
    ):
        open_corpus(path)
    images = "uid,filename,projection\n1,1_b.png,Lateral\n1,1_a.png,Frontal\n2,2_a.png,Frontal\n3,3_a.png,Frontal\n"
    other = write(tmp_path / "indiana_projections.csv", images)
    first = "FINDINGS: The heart, XXXX, is normal.\n\nIMPRESSION: Normal chest x-XXXX."
    expected = [
        Record("1", "1_a.png", first, study="1"),
        Record("1#2", "1_b.png", first, study="1"),
        Record("2", "2_a.png", "FINDINGS: Borderline heart.", study="2"),
        SkippedRecord(4, "3", '"report" is missing or empty'),
        SkippedRecord(5, "4", "the table of images names none of this study"),
    ]
    corpus = open_corpus(path)
    assert list(corpus) == expected and len(corpus) == 5
    write(tmp_path / "images/images_normalized/1_b.png")
    assert [record.image for record in open_corpus(path) if isinstance(record, Record)] == [
        f"images/images_normalized/{name}" for name in ("1_a.png", "1_b.png", "2_a.png")
    ]
    with pytest.raises(InputError, match=r"names images without reports; index indiana_reports.csv"):
        open_corpus(other)
    corpus = open_corpus(path, fields={"image": "image", "report": "findings"})  # the user's word goes first
    assert len(corpus) == 4
    for damaged in ("uid,file\n1,1_a.png\n", "uid,filename,projection\n1\n", 'uid,filename,projection\n1,"a.png\n'):
        write(other, damaged)
        with pytest.raises(InputError, match="is no table with the columns uid, filename, projection"):
            open_corpus(path)


def test_mimic_cxr_of_jpegs_takes_the_reports_beside_the_studies(tmp_path: Path) -> None:
    rows = [
        "dicom_id,study_id,subject_id,split",
        "02aa-1,50414267,10000032,train",
        "174f-2,50414267,10000032,train",
        "2a2f-3,53189527,10000032,validate",
        "e084-4,../../x,10000033,test",
    ]
    path = write(tmp_path / "mimic-cxr-2.0.0-split.csv", "\n".join(rows) + "\n")
    write(tmp_path / "files/p10/p10000032/s50414267.txt", " FINAL REPORT\n IMPRESSION: Clear. \n")
    study = "files/p10/p10000032/s50414267"
    assert list(open_corpus(path)) == [
        Record(
            "02aa-1", f"{study}/02aa-1.jpg", "FINAL REPORT\n IMPRESSION: Clear.", None, "10000032", "50414267", "train"
        ),
        Record(
            "174f-2", f"{study}/174f-2.jpg", "FINAL REPORT\n IMPRESSION: Clear.", None, "10000032", "50414267", "train"
        ),
        SkippedRecord(
            4,
            "2a2f-3",
            "its report files/p10/p10000032/s53189527.txt is not there; "
            f"unpack mimic-cxr-reports.zip in {tmp_path.name}",
        ),
        SkippedRecord(5, "e084-4", "subject_id or study_id is no number"),
    ]
    reports = tmp_path / "mimic-cxr-reports"  # where unpacking may have put them
    reports.mkdir()
    (tmp_path / "files").rename(reports / "files")
    assert [isinstance(record, Record) for record in open_corpus(path)] == [True, True, False, False]
    listed = (
        f"subject_id,study_id,dicom_id,path\n10000032,50414267,02aa-1,{study}/02aa-1.dcm\n1,2,x,../../etc/a/x.dcm\n"
    )
    found = list(open_corpus(write(tmp_path / "cxr-record-list.csv", listed)))
    assert isinstance(found[0], Record) and found[0].image == f"{study}/02aa-1.dcm" and found[0].patient == "10000032"
    assert isinstance(found[1], SkippedRecord) and "its report ../../etc/a.txt is not there" in found[1].reason
    columns = "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns\n"
    with pytest.raises(InputError, match=r"in which split it is; index mimic-cxr-2.0.0-split.csv, which does"):
        open_corpus(write(tmp_path / "mimic-cxr-2.0.0-metadata.csv", columns))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mimic-cxr-2.0.0-split.csv", "but the list of its images; index .*/mimic-cxr-2.0.0-split.csv$"),
        (
            "mimic-cxr-2.0.0-split.csv.gz",
            "; unpack mimic-cxr-2.0.0-split.csv.gz and index .*/mimic-cxr-2.0.0-split.csv$",
        ),
        ("indiana_reports.csv", "; index .*/indiana_reports.csv$"),
        ("captions.txt", "; index .*/captions.txt$"),
    ],
)
def test_the_folder_of_a_known_archive_names_its_table(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=message):
        open_corpus(tmp_path)


def test_pictures_inside_parquet_are_refused_with_what_to_do(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([{"bytes": b"x", "path": "a.jpg"}]), "caption": ["A caption."]})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(
        InputError, match=r"pictures, no paths; write them to files, and their paths into a .csv or .js"
    ):
        open_corpus(tmp_path / "train.parquet")
