"""Certificates that are signed, and what is not what was signed."""

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from minisign import KeyPair

from calibration import Certificate
from calibration.sealing.sealed import digest, seal
from calibration.sealing.signature import check_signature
from titrate import InputError

# What the minisign tool itself made of the four bytes "test": the example of its documentation.
KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
SIGNATURE = (
    "untrusted comment: signature from minisign secret key\n"
    "RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n"
    "trusted comment: timestamp:1555779966\tfile:test\n"
    "QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n"
)

Signed = tuple[Path, str, KeyPair]


@pytest.fixture(scope="module")
def keys() -> KeyPair:
    return KeyPair.generate()


@pytest.fixture
def signed(tmp_path: Path, certificate: Callable[..., Certificate], keys: KeyPair) -> Signed:
    path = tmp_path / "certificate.json"
    certificate().save(path)
    sign(path, keys)
    return path, keys.public_key.to_base64().decode(), keys


def sign(path: Path, keys: KeyPair) -> None:
    signature = keys.secret_key.sign(path.read_bytes(), trusted_comment="for certificate.json")
    path.with_name(path.name + ".minisig").write_bytes(bytes(signature))


def test_what_the_tool_signed(tmp_path: Path) -> None:
    path = tmp_path / "test"
    path.with_name("test.minisig").write_text(SIGNATURE)
    check_signature(path, b"test", KEY)
    (tmp_path / "key.pub").write_text(f"untrusted comment: minisign public key\n{KEY}\n")
    check_signature(path, b"test", str(tmp_path / "key.pub"))
    with pytest.raises(InputError, match="not what was signed with this key"):
        check_signature(path, b"Test", KEY)
    path.with_name("test.minisig").write_text(SIGNATURE.replace("file:test", "file:best"))
    with pytest.raises(InputError, match="not what was signed with this key"):
        check_signature(path, b"test", KEY)


def test_a_signed_certificate_is_read(signed: Signed) -> None:
    path, key, _ = signed
    assert Certificate.load(path, key) == Certificate.load(path)


def test_an_edited_one_that_is_sealed_anew_is_refused(signed: Signed) -> None:
    path, key, _ = signed
    content = json.loads(path.read_text())
    content["fingerprints"]["mllm"] = "2"
    content["digest"] = digest(content)
    content["seal"] = seal(content)
    path.write_text(json.dumps(content))
    assert Certificate.load(path).fingerprints["mllm"] == "2", "its seal fits"
    with pytest.raises(InputError, match=r"certificate\.json is not what was signed with this key"):
        Certificate.load(path, key)


def test_nothing_in_it_is_looked_at_before_its_signature(signed: Signed) -> None:
    path, key, _ = signed
    path.write_text("{")
    with pytest.raises(InputError, match="not what was signed"):
        Certificate.load(path, key)


def test_another_key(signed: Signed) -> None:
    path, _, _ = signed
    other = KeyPair.generate().public_key.to_base64().decode()
    with pytest.raises(InputError, match=r"not what was signed with this key \(incompatible key identifiers\)"):
        Certificate.load(path, other)


def test_another_key_under_the_same_name(signed: Signed) -> None:
    """The identifier of a key is eight bytes that anybody may take: the signature itself has to fit."""
    path, key, _ = signed
    own, other = (base64.b64decode(each) for each in (key, KeyPair.generate().public_key.to_base64()))
    forged = base64.b64encode(own[:10] + other[10:]).decode()
    with pytest.raises(InputError, match=r"not what was signed with this key \(signature verification failed\)"):
        Certificate.load(path, forged)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no certificate.json.minisig beside it"), ("", "not a minisign signature"), ("a" * 20000, "larg")],
)
def test_a_signature_that_is_none(signed: Signed, content: str | None, words: str) -> None:
    path, key, _ = signed
    signature = path.with_name(path.name + ".minisig")
    signature.unlink()
    if content is not None:
        signature.write_text(content)
    with pytest.raises(InputError, match=words):
        Certificate.load(path, key)


@pytest.mark.parametrize("key", ["RW" + "A" * 54, "RW" + "é" * 54, "nowhere.pub", "", "\0"])
def test_a_key_that_is_none(signed: Signed, key: str) -> None:
    with pytest.raises(InputError, match=r"key|cannot read"):
        Certificate.load(signed[0], key)


def test_without_the_library(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    path, key, _ = signed
    monkeypatch.setitem(sys.modules, "minisign", None)
    with pytest.raises(InputError, match=r"pip install 'titrate\[sign\]'"):
        Certificate.load(path, key)
    assert Certificate.load(path).alpha == 0.4
