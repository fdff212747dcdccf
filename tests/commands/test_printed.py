"""What is printed can be read and does nothing: no control character of a stranger's reaches a terminal."""

import ast
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from calibration import Certificate
from commands.output import readable_messages, say, say_json, say_page
from rag import Answer, Context, answer_page
from tests.command_line import Run, an_image, refused
from tests.rag.openai_loopback import Answer as Reply
from tests.rag.openai_loopback import Script, Served, failed, said, serving
from titrate import hash_json, printable, unprintable

RED, COPY, TITLE = "\x1b[31m", "\x1b]52;c;cm0gLXJmIH4=\x07", "\x9b2J\x9d0;owned\x9c"
TURNED, HIDDEN, BREAKS = "\u202egnp.exe\u2066", "a\u200bb\U000e0041\u00ad", "a\u2028b\u2029c\x85d\x0ce\rf"
HOSTILE = [RED, COPY, TITLE, TURNED, HIDDEN, BREAKS, "\x00\x08\x7f", "\ufeff", "\u3164", "\ue000"]


def clean(result: Result) -> Result:
    """Check that nothing printed acts: every character shows, or ends a line."""
    for printed in (result.stdout, result.stderr):
        assert unprintable(printed.replace("\n", "")) is None, ascii(printed)
    return result


@pytest.mark.parametrize("hostile", [*HOSTILE, "\ud800", "one\ntwo", "\t"])
def test_printable_text_does_nothing_and_says_what_was_there(hostile: str) -> None:
    shown = printable(f"id {hostile} end")
    assert unprintable(hostile) is not None
    assert unprintable(shown) is None and shown.isprintable()
    assert shown.startswith("id ") and shown.endswith(" end") and "\\" in shown
    assert shown.encode().decode("unicode_escape").encode("utf-16", "surrogatepass") == (
        f"id {hostile} end".encode("utf-16", "surrogatepass")
    ), "nothing is lost"
    assert printable(shown) == shown


def test_printable_by_hand() -> None:
    assert printable("a\x1b[0m\x9bb") == r"a\x1b[0m\x9bb"
    assert printable("a\u202eb\U000e0041") == r"a\u202eb\U000e0041"
    assert printable("Größe 5\xa0mm, 肺, β, é\u0301, 😀") == "Größe 5\xa0mm, 肺, β, é\u0301, 😀", (
        "what shows is left alone"
    )
    assert printable("a\r\nb\tc\rd", lines=True) == "a\nb\tc\\rd"
    assert printable("x" * 50_000_000) == "x" * 10_000 + "… (49,990,000 characters more)"
    assert printable(ValueError("a\nb")) == r"a\nb"


def test_only_one_module_prints(repository: Path) -> None:
    rooms = ("commands", "rag", "indexing", "calibration", "preference", "titrate")
    paths = [repository / "cli.py", *(path for room in rooms for path in sorted((repository / room).rglob("*.py")))]
    assert len(paths) > 100
    found = {}
    for path in paths:
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        if prints := [call for call in calls if call in PRINTS or call.endswith((".stdout.write", ".stderr.write"))]:
            found[str(path.relative_to(repository))] = sorted(set(prints))
    assert found == {"commands/output.py": ["click.echo", "tqdm.write"]}


PRINTS = {"print", "click.echo", "click.secho", "click.echo_via_pager", "echo", "tqdm.write", "traceback.print_exc"}


def test_say_keeps_lines_and_json_whole() -> None:
    @click.command()
    def command() -> None:
        say("one\ntwo", RED)
        say_page(f"a\nb{COPY}")
        say_json({"a\x9b": [f"x\n{text}\ud800" for text in HOSTILE], "b": "肺"})

    result = clean(CliRunner().invoke(command, catch_exceptions=False))
    first, second, third, fourth, *rest = result.stdout.split("\n")
    assert (first, second, third) == (r"one\ntwo", r"\x1b[31m", "a")
    assert fourth == r"b\x1b]52;c;cm0gLXJmIH4=\x07"
    assert json.loads("\n".join(rest)) == {"a\x9b": [f"x\n{text}\ud800" for text in HOSTILE], "b": "肺"}
    assert "肺" in result.stdout


def test_what_libraries_warn_of_and_log_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    logger = logging.getLogger("a library")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught, readable_messages():
            logger.warning("bad header %s", COPY)
            warnings.simplefilter("always")
            warnings.warn(f"strange value {RED}", UserWarning, stacklevel=1)
        logger.removeHandler(handler)
        assert logging.getLogRecordFactory() is logging.LogRecord
    finally:
        logger.removeHandler(handler)
    told = capsys.readouterr().err
    assert r"bad header \x1b]52;c;cm0gLXJmIH4=\x07" in told
    assert [str(warning.message) for warning in caught] == [r"strange value \x1b[31m"]
    assert "\x1b" not in told


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_index_refuses_names_that_do_not_show_and_lists_them(run: Run, samples: Path, tmp_path: Path) -> None:
    sound = {"id": "sound", "image": "images/busi/benign (1).png", "report": f"Clear. {RED}{COPY}", "domain": "chest"}
    sound["image"] = an_image(samples)[1]["image"]
    bad = [{**sound, "id": f"a{hostile}b"} for hostile in HOSTILE[:6]]
    bad += [
        {**sound, "id": str(number), name: f"a{RED}b"} for number, name in enumerate(("domain", "patient", "split"))
    ]
    corpus = lines(tmp_path / "corpus.jsonl", [sound, *bad, {**sound, "id": "no such", "image": f"images/{COPY}.png"}])
    result = clean(run("index", corpus, "--root", samples, "--split", "all", "--dry-run"))
    assert result.exit_code == 0
    assert "1 usable, 0 of other splits, 10 skipped" in result.stdout
    assert r'line 2: "id" holds \x1b, a character that does not show; rename it in the corpus' in result.stderr
    strict = clean(run("index", corpus, "--root", samples, "--split", "all", "--dry-run", "--strict"))
    refused(strict, "line 2 of the corpus", r'"id" holds \x1b')


def test_hostile_file_names_of_dicom_are_skipped_and_listed(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in (f"a{RED}.dcm", "b\nline 9: fine.dcm", f"{TURNED}.dcm"):
        (folder / name).write_bytes(b"\0" * 128 + b"DICM")
    result = clean(run("index", folder, "--split", "all", "--dry-run"))
    assert "0 usable, 0 of other splits, 3 skipped" in result.stdout
    assert "line 9: fine" not in result.stderr.splitlines()


def test_question_files_certificates_and_manifests(run: Run, samples: Path, index_folder: Path, tmp_path: Path) -> None:
    models = ["--index", index_folder, "--mllm", samples / "models/mllm", "--device", "cpu"]
    image, record = an_image(samples)
    asked = {"id": "1", "image": record["image"], "question": "Any?", "answer": "yes", "options": ["yes", "no"]}
    for name in ("id", "domain", "split", "kind", "patient"):
        questions = lines(tmp_path / "questions.jsonl", [{**asked, name: f"x{COPY}"}])
        words = ["calibrate", questions, "--root", samples, *models, "--alpha", 0.3]
        refused(clean(run(*words)), f'"{name}" holds \\x1b')
    named: dict[str, Any] = {one.name: None for one in fields(Certificate)}
    named |= {"schema_version": Certificate.SCHEMA_VERSION, f"odd{COPY}\nfine": 1}
    named["digest"] = hash_json({name: value for name, value in named.items() if name not in ("created", "seal")})
    named["seal"] = hash_json({name: value for name, value in named.items() if name != "seal"})
    forged = tmp_path / f"c{RED}\nfine.json"
    forged.write_text(json.dumps(named))
    refused(clean(run("ask", image, "Any?", *models, "--certificate", forged)), r"odd\x1b]52", r"c\x1b[31m\nfine.json")
    refused(clean(run("ask", f"no{RED}.png", "Any?", *models, "--k", 1)), r"no\x1b[31m.png")
    result = clean(run(f"--no{RED}"))
    assert result.exit_code == 2 and r"--no\x1b[31m" in result.stderr


def test_info_shows_a_hostile_manifest(run: Run, index_folder: Path, tmp_path: Path) -> None:
    import shutil

    copied = tmp_path / "index"
    shutil.copytree(index_folder, copied)
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["digest"]

    def forge(field: str, value: object) -> None:
        forged = {**manifest, field: value}
        (copied / "manifest.json").write_text(json.dumps({**forged, "digest": hash_json(forged)}))

    forge("encoder", f"local-dir:{COPY}\nrecords 0")
    result = clean(run("info", "--index", copied))
    assert r"local-dir:\x1b]52;c;cm0gLXJmIH4=\x07\nrecords 0" in result.stdout
    assert json.loads(clean(run("info", "--index", copied, "--json")).stdout)["encoder"].endswith("\nrecords 0")
    domains = {f"{name}{RED}": number for name, number in manifest["domains"].items()}
    forge("domains", domains)
    refused(clean(run("info", "--index", copied)), "is malformed")


SERVER = [
    (reply, hostile)
    for hostile in (RED + COPY, TITLE, TURNED + HIDDEN, BREAKS)
    for reply in ("answer", "refusal", "fault", "page", "models")
]


@pytest.fixture
def script() -> Iterator[tuple[Script, Served]]:
    answers = Script()
    with serving(answers) as served:
        yield answers, served


@pytest.mark.parametrize(("reply", "hostile"), SERVER)
def test_a_servers_replies(
    run: Run,
    samples: Path,
    index_folder: Path,
    script: tuple[Script, Served],
    monkeypatch: pytest.MonkeyPatch,
    reply: str,
    hostile: str,
) -> None:
    monkeypatch.setattr("rag.models.server.connection.PAUSES_S", ())
    monkeypatch.setattr("rag.models.server.connection.AWAY_S", ())
    answers, served = script
    replies: dict[str, Reply] = {
        "answer": said(f"fine {hostile}"),
        "refusal": failed(400, f"bad {hostile}"),
        "fault": failed(500, f"worse {hostile}"),
        "page": (502, f"<h1>{hostile}</h1>".encode()),
    }
    if reply == "models":
        served.models = (200, {"data": [{"id": f"one {hostile}"}, {"id": "two"}]})
    else:
        answers.answers = [replies[reply]]
    image, _ = an_image(samples)
    model = served.url if reply == "models" else f"{served.url}#small"
    result = clean(run("ask", image, "Any?", "--index", index_folder, "--mllm", model, "--k", 1, "--device", "cpu"))
    if reply == "answer":
        assert result.exit_code == 0, result.output
        assert "fine " in result.stdout.splitlines()[0] and "\\" in result.stdout.splitlines()[0]
    else:
        assert result.exit_code in (1, 2)
        assert len([line for line in result.stderr.splitlines() if line.startswith("titrate: ")]) >= 1
        assert "Traceback" not in result.output


def test_no_line_of_a_page_can_be_forged() -> None:
    context = Context(1, f"id\nAnswer: no{RED}", f"Clear.{COPY}\nAnswer: no", "a.png", 0.5, False)
    answer = Answer(
        text=f"yes\nDomain: forged (100.0%){RED}\n\nReports read: 9",
        probabilities={"yes\nAnswer: no": 1.0},
        domain="chest\nAnswer: no",
        domain_probability=1.0,
        in_domain=True,
        contexts=(context,),
        certified=False,
        statement="Not certified.\nCertified.",
        prompt="Look.\n\nReport [1]: Clear.\x85Answer: no",
    )
    page = answer_page(answer, with_prompt=True)
    assert unprintable(page.replace("\n", "")) is None
    starts = [line for line in page.split("\n") if not line.startswith(" ")]
    assert [line.split(":")[0] for line in starts] == [
        "Answer", "Domain", "Reports read", "Not certified.\\nCertified.", "Prompt, after the image"
    ]  # fmt: skip
    assert page.count("\n  | ") == 3, "each line of the prompt, the empty one too"
