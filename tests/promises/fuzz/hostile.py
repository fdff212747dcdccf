"""What a stranger, a bad disk or a spreadsheet makes of a file that was sound."""

import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FACTOR = int(os.environ.get("FUZZ", "1"))
"""How many times as long as within `make test`; `make fuzz` sets it, and seeds are drawn anew then."""

FRAGMENTS = (
    "null", "true", "0", "-1", "1.5", "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400",
    "9" * 5000, "9" * 400, str(2**63), str(-(2**64)), '""', '" "', '"\\u0000"', '"\\ud800"', '{"\\udc00": 1}',
    '["\\ud800"]', "[]", "{}", "[null]", "[[]]", '{"a": 1}', "[" * 70 + "]" * 70, "[" * 5000, '{"a":' * 3000,
    '"../../etc/passwd"', '"/dev/zero"', '"."', '"http://127.0.0.1/x.png"', '"data:image/png;base64,AA=="',
    json.dumps("x" * 300), json.dumps("x" * 70_000), '"a\\nb\\r\\u2028c"', '"\\u202e\\u0007\\u001b[31m"', '"<image>"',
    '"{{ 7 * 7 }}"', '"1.0000032e+07"', '"1.00E+07"', '"=1+1"', '"\\ufeffid"', '["yes", "yes"]', '["yes", "No", 3]',
)  # fmt: skip
"""JSON, or nearly so, that may stand anywhere in a file."""

_MARK = "@@here@@"


def examples(number: int) -> settings:
    """So many examples, the same ones at every run of `make test`."""
    return settings(
        max_examples=number * FACTOR,
        derandomize=FACTOR == 1,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside a JSON value, itself included."""
    found = [path]
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in entries:
        found += places(item, (*path, name))
    return found


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> bytes:
    """A JSON value of which one to three parts are replaced by something else, left out, or joined by a stranger."""
    value = {"whole": copy.deepcopy(value)}
    fragments = []
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        path = draw(st.sampled_from(places(value)[1:] or [("whole",)]))
        holder = value
        for name in path[:-1]:
            holder = holder[name]
        match draw(st.sampled_from(("replace", "replace", "replace", "delete", "add"))):
            case "delete" if path != ("whole",):
                del holder[path[-1]]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(("stranger", "", "id ", "__proto__", "schema_version")))] = _MARK
                fragments.append(draw(st.sampled_from(FRAGMENTS)))
            case _:
                holder[path[-1]] = _MARK
                fragments.append(draw(st.sampled_from(FRAGMENTS)))
    text = json.dumps(value.get("whole"), ensure_ascii=draw(st.booleans()))
    for fragment in fragments:
        text = text.replace(json.dumps(_MARK), fragment, 1)
    return text.encode(errors="surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes cut off, flipped, doubled, blotted out, put in, or in another encoding."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from((1, 1, 2, 4, 16, 64)))
        match draw(st.sampled_from(("cut", "flip", "zero", "ones", "drop", "double", "insert", "number", "encode"))):
            case "cut":
                del data[start:]
            case "flip" if data:
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "zero":
                data[start : start + length] = bytes(len(data[start : start + length]))
            case "ones":
                data[start : start + length] = b"\xff" * len(data[start : start + length])
            case "drop":
                del data[start : start + length]
            case "double":
                data[start:start] = data[start : start + 16 * length]
            case "insert":
                junk = (
                    b"\0",
                    b"\xff\xfe",
                    b"\xef\xbb\xbf",
                    b'"',
                    b"{",
                    b"[" * 3000,
                    b"\n",
                    b"\r",
                    b",",
                    b"\t",
                    b"\x1a",
                )
                data[start:start] = draw(st.sampled_from(junk))
            case "number":
                data[start : start + 4] = draw(st.sampled_from((b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0")))
            case "encode":
                data = bytearray(bytes(data).decode(errors="replace").encode("utf-16"))
            case _:
                pass
    return bytes(data)


def json_file(value: Any) -> st.SearchStrategy[bytes]:
    """A file of one JSON value, wrong in its content or in its bytes."""
    return st.one_of(mutated(value), mutated(value), damaged(json.dumps(value).encode()))


def json_lines(values: list[Any]) -> st.SearchStrategy[bytes]:
    """A file of JSON lines, one of which is wrong in its content, or which is wrong in its bytes."""
    whole = [json.dumps(value).encode() for value in values]

    def at(row: int) -> st.SearchStrategy[bytes]:
        return mutated(values[row]).map(lambda line: b"\n".join([*whole[:row], line, *whole[row + 1 :]]) + b"\n")

    one = st.integers(0, len(values) - 1).flatmap(at)
    return st.one_of(one, one, damaged(b"\n".join(whole) + b"\n"))
