"""What the model thinks of every option of a question, at every number of contexts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.checks import FloatArray, check_unit_interval
from titrate import InputError, JsonFields


@dataclass(frozen=True, eq=False)
class Choices:
    """The log-probabilities of a question's options at every k = 0..K, and what each option would lose.

    Parameters
    ----------
    options
        The answers to choose from.
    log_probabilities
        Normalised over the options, ``[K + 1, options]``. Kept as a read-only copy.
    losses
        Of each option, in [0, 1], ``[options]``. Kept as a read-only copy.

    Raises
    ------
    InputError
        If the shapes differ, or a number cannot be one.
    """

    options: tuple[str, ...]
    log_probabilities: FloatArray
    losses: FloatArray

    def __post_init__(self) -> None:
        logs = np.array(self.log_probabilities, dtype=np.float64)
        losses = check_unit_interval("losses of options", np.array(self.losses, dtype=np.float64)[None])[0].copy()
        if logs.ndim != 2 or logs.shape[1] != len(self.options) or losses.shape != logs.shape[1:]:
            raise InputError(f"{len(self.options)} options need as many losses, and log-probabilities at every k")
        if not (np.isfinite(logs).all() and np.allclose(np.exp(logs).sum(axis=1), 1.0, rtol=0, atol=1e-6)):
            raise InputError("the probabilities of options do not add up to 1 at every k; score the questions again")
        for name, numbers in (("log_probabilities", logs), ("losses", losses)):
            numbers.setflags(write=False)
            object.__setattr__(self, name, numbers)

    def to_json(self) -> dict[str, object]:
        """Return JSON values."""
        return {
            "options": list(self.options),
            "log_probabilities": self.log_probabilities.tolist(),
            "losses": self.losses.tolist(),
        }

    @classmethod
    def from_json(cls, value: Any, remedy: str) -> "Choices | None":
        """Read what `to_json` returned, or null.

        Raises
        ------
        InputError
            If it is anything else.
        """
        if value is None:
            return None
        read = JsonFields(value, "choices", ("options", "log_probabilities", "losses"), remedy)
        try:
            logs = np.array(read.items("log_probabilities"), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise read.error("log_probabilities are not a table of numbers") from error
        return cls(read.texts("options"), logs, np.array(read.fractions("losses")))
