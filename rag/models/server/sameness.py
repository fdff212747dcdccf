"""Whether a server still runs the model that it ran at first: by its answer to the opening question, asked again.

A server may be started anew with other weights under the same name. Its answer to one small question then has other
log-probabilities, which the same weights repeat but for rounding. A certificate, and outcomes that are kept, hold the
opening answer of the model that they were made by, so that this is found out across runs as well.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.models.base import OPENING_ANSWER
from rag.models.server.replies import answer_tokens
from titrate import one_line, parse_json, printable

ROUNDING = 0.5
"""Nats by which the same weights may differ: 128 units of rounding in bfloat16. In float32 they differ by 1e-6."""
_LIKELY = 1e-3
_HELD, _LONGEST = 5, 40
_SERVER = "server"


@dataclass(frozen=True)
class Signature:
    """The opening answer.

    Attributes
    ----------
    listed
        Log-probabilities of its first token's alternatives; empty where the server tells none.
    system
        What the server calls its configuration; None if it does not say.
    """

    listed: Mapping[str, float]
    system: str | None

    @classmethod
    def of(cls, choice: Mapping[str, Any]) -> "Signature":
        """What an answer shows."""
        first = next(iter(answer_tokens(choice)), None)
        system = choice.get("system_fingerprint")
        return cls({} if first is None else dict(first.listed), system if isinstance(system, str) else None)

    @property
    def told(self) -> dict[str, str]:
        """What is kept of it with what its model answered: log-probabilities of the likeliest, in hundredths."""
        system = {} if self.system is None else {_SERVER: printable(one_line(self.system), longest=_LONGEST)}
        top = sorted(self.listed.items(), key=lambda each: (-each[1], each[0]))[:_HELD]
        held = {printable(one_line(token), longest=_LONGEST): round(value, 2) for token, value in top}
        return system | ({OPENING_ANSWER: json.dumps(held, ensure_ascii=False)} if held else {})

    @classmethod
    def kept(cls, told: Mapping[str, str]) -> "Signature":
        """The opening answer that was kept as `told`; an empty one where none was, or it cannot be read."""
        try:
            held = parse_json(told.get(OPENING_ANSWER, "").encode())
            listed = {str(token): float(value) for token, value in held.items()}
        except (ValueError, TypeError, AttributeError):
            return cls({}, None)
        return cls(listed if all(map(math.isfinite, listed.values())) else {}, told.get(_SERVER))

    def differs(self, later: "Signature") -> str | None:
        """How a later answer differs by more than rounding, in words; None if it does not.

        Alternatives with less than a thousandth of the probability are not compared. One that is not listed
        counts as having the least that is.
        """
        if not self.listed or not later.listed:
            return None
        floor = min(self.listed.values()), min(later.listed.values())
        for token in sorted({*self.listed, *later.listed}):
            before, now = self.listed.get(token, floor[0]), later.listed.get(token, floor[1])
            if math.exp(max(before, now)) >= _LIKELY and abs(before - now) > ROUNDING:
                return f"{token!r} had probability {math.exp(before):.3f} at first and has {math.exp(now):.3f}"
        return None
