"""`titrate ask` as a user meets it: answers that cite, certificates that hold for one system, one-line errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from minisign import KeyPair

from tests.command_line import Run, an_image, refused


def test_ask_answers_and_cites(run: Run, samples: Path, models: list[object]) -> None:
    image, record = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--k", 2, "--options", "yes,no"]
    result = run(*words, "--patient", record["patient"], "--json", "--show-prompt")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["answer"] in ("yes", "no")
    assert answer["probabilities"]["yes"] + answer["probabilities"]["no"] == pytest.approx(1)
    assert answer["domain"] == record["domain"]
    assert [context["number"] for context in answer["contexts"]] == [1, 2]
    assert answer["contexts"][0]["similarity"] >= answer["contexts"][1]["similarity"]
    assert all(context["record"] != record["id"] for context in answer["contexts"])
    assert f"Report [2]: {answer['contexts'][1]['report'][:20]}" in answer["prompt"]
    assert not answer["certified"]
    assert "Not certified" in answer["statement"]
    page = run(*words)
    assert "Answer: " in page.stdout
    assert "[1]" in page.stdout


def test_ask_in_free_text(run: Run, samples: Path, models: list[object]) -> None:
    image, _ = an_image(samples)
    result = run("ask", image, "What does the image show?", *models, "--k", 1, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["probabilities"] is None
    assert answer["answer"]


def test_ask_with_a_certificate(run: Run, samples: Path, models: list[object], certificate: Path, few: Path) -> None:
    image, record = an_image(samples)
    calibrated = [line for line in map(json.loads, few.read_text().splitlines()) if line["split"] == "calibrate"]
    question = next(line for line in calibrated if line["domain"] == record["domain"])
    options = [word for option in question["options"] for word in ("--option", option)]
    promise = [*models, "--certificate", certificate, "--json"]
    answer = json.loads(run("ask", image, question["question"], *options, *promise).stdout)
    chosen = json.loads(certificate.read_text())["domains"][record["domain"]]["chosen"]
    assert answer["certified"]
    assert answer["k"] in ((chosen["k"],) if chosen["gate"] is None else (0, chosen["k"]))
    assert "at most 99%" in answer["statement"]
    other = json.loads(run("ask", image, "Was it a goal?", *options, *promise).stdout)
    assert not other["certified"]
    assert "another kind" in other["statement"]


def test_ask_refuses_a_certificate_of_another_index(
    run: Run, samples: Path, models: list[object], certificate: Path, tmp_path: Path
) -> None:
    records = (samples / "corpus.jsonl").read_text().splitlines()
    (tmp_path / "half.jsonl").write_text("\n".join(records[::9]) + "\n")
    encoder = f"local-dir:{samples / 'models/encoder'}"
    built = run("index", "half.jsonl", "--root", samples, "--index", "other", "--encoder", encoder, "--device", "cpu")
    assert built.exit_code == 0, built.output
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", "--index", "other", "--mllm", samples / "models/mllm"]
    refused(run(*words, "--options", "yes,no", "--certificate", certificate), "index", "calibrate again")


def test_a_certificate_that_is_not_signed_is_refused_where_a_key_is_given(
    run: Run, models: list[object], certificate: Path, samples: Path, few: Path, tmp_path: Path
) -> None:
    keys, path = KeyPair.generate(), tmp_path / "certificate.json"
    path.write_bytes(certificate.read_bytes())
    with_key = ["--signed-by", keys.public_key.to_base64().decode()]
    signed = ["--certificate", path, *with_key]
    asked = ["ask", an_image(samples)[0], "Is there pneumonia?", *models, "--options", "yes,no"]
    refused(run(*asked, *signed), "is not signed")
    refused(run("evaluate", few, "--root", samples, *models, *signed), "is not signed")
    refused(run("info", *models[:2], *signed), "is not signed")
    refused(run(*asked, "--k", 1, *with_key), "without a certificate")
    path.with_name("certificate.json.minisig").write_bytes(bytes(keys.secret_key.sign(path.read_bytes())))
    assert "certificate   fits" in run("info", *models[:2], *signed).stdout
    assert run(*asked, *signed).exit_code == 0


def test_ask_refuses_a_certificate_of_the_model_without_its_adapter(
    run: Run, samples: Path, models: list[object], certificate: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    from rag import TransformersMLLM, write_base_weights

    bare: Any = TransformersMLLM.open(str(samples / "models/mllm"), device="cpu").model
    get_peft_model(bare, LoraConfig(target_modules=["q_proj"])).save_pretrained("adapter")
    write_base_weights(Path("adapter"), samples / "models/mllm")
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--options", "yes,no", "--certificate", certificate]
    refused(run(*words, "--adapter", "adapter"), "the model or its adapter changed since calibration")


def test_ask_refuses_a_certificate_of_another_number_format(
    run: Run, samples: Path, models: list[object], certificate: Path
) -> None:
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--options", "yes,no", "--dtype", "bfloat16"]
    refused(run(*words, "--certificate", certificate), "the model or its adapter changed since calibration")
    assert run(*words, "--k", 1).exit_code == 0
    refused(run(*words[:3], *models[:2], "--mllm", "http://127.0.0.1:9/v1", "--k", 1, "--dtype", "float16"), "a server")


def test_ask_refuses_a_certificate_of_other_questions(
    run: Run, samples: Path, models: list[object], certificate: Path, few: Path
) -> None:
    image, _ = an_image(samples)
    words = ["ask", image, "Is there pneumonia?", *models, "--options", "yes,no", "--root", samples]
    same = run(*words, "--certificate", certificate, "--questions", few)
    assert same.exit_code == 0, same.output
    changed = Path("changed.jsonl")
    lines = few.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if json.loads(line)["split"] == "calibrate")
    changed.write_text("\n".join(lines[:first] + lines[first + 1 :]) + "\n")
    refused(
        run(*words, "--certificate", certificate, "--questions", changed), "the question file changed since calibration"
    )
    refused(run(*words, "--k", 1, "--questions", few), "leave out --questions")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "nowhere.png"}, ["nowhere.png"]),
        ({"image": "broken.png"}, ["broken.png"]),
        ({"image": "text.png"}, ["is not PNG, JPEG, TIFF, WebP or DICOM"]),
        ({"--mllm": "no-such-model"}, ["no-such-model", "config.json"]),
        ({"--index": "no-such-index"}, ["no index", "titrate index"]),
        ({"--k": None}, ["certificate", "k"]),
        ({"--options": "yes"}, ["at least two options"]),
        ({"--options": "yes,yes"}, ["at least two options"]),
        ({"question": " "}, ["question is empty"]),
        ({"--certificate": "nothing.json"}, ["nothing.json"]),
        ({"--certificate": "text.png"}, ["text.png"]),
        ({"--adapter": "no-such-adapter"}, ["no-such-adapter", "titrate train"]),
    ],
)
def test_ask_refuses_bad_input(
    run: Run, samples: Path, index_folder: Path, tmp_path: Path, change: dict[str, str | None], words: list[str]
) -> None:
    image, _ = an_image(samples)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    (tmp_path / "text.png").write_text("not an image")
    before = sorted(tmp_path.iterdir())
    given: dict[str, object] = {"image": image, "question": "Is there pneumonia?", "--index": index_folder}
    given |= {"--mllm": samples / "models/mllm", "--k": 1, "--options": "yes,no", "--device": "cpu"} | change
    named = [word for name, value in given.items() if name[0] == "-" and value is not None for word in (name, value)]
    refused(run("ask", given["image"], given["question"], *named), *words)
    assert sorted(tmp_path.iterdir()) == before
