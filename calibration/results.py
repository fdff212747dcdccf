"""What calibration found in one domain."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from calibration.fields import Fields


@dataclass(frozen=True)
class DomainResult:
    """The tests of every k = 0..K in one domain, and the k chosen.

    Parameters
    ----------
    n_units, n_questions
        Patients and questions that were routed to this domain.
    max_k
        K, the largest number of contexts tried.
    risks
        Mean over patients of their mean loss, ``[K + 1]``.
    p_values
        Of "the risk at this k is above alpha", ``[K + 1]``.
    certified
        Each k whose risk is at most alpha, with the certificate's confidence.
    k
        The certified k with the least empirical risk, then with the fewest contexts; None if nothing is certified.
    units_needed
        Where nothing is certified: about how many patients like these would certify the best k, in all. A rough guide,
        None where the measured risk is not below alpha, so that no number would do.
    """

    n_units: int
    n_questions: int
    max_k: int
    risks: tuple[float, ...]
    p_values: tuple[float, ...]
    certified: tuple[int, ...]
    k: int | None
    units_needed: int | None

    @property
    def best_k(self) -> int:
        """The k with the least empirical risk, certified or not, then with the fewest contexts."""
        return least_risk(self.risks, range(self.max_k + 1))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str, remedy: str) -> "DomainResult":
        """Read what `to_json` returned.

        Raises
        ------
        InputError
            If it is anything else, or contradicts itself.
        """
        read = Fields(value, where, (field.name for field in fields(cls)), remedy)
        optional = {
            name: None if read.value[name] is None else read.integer(name, least=0) for name in ("k", "units_needed")
        }
        result = cls(
            n_units=read.integer("n_units", least=1),
            n_questions=read.integer("n_questions", least=1),
            max_k=read.integer("max_k", least=0),
            risks=read.fractions("risks"),
            p_values=read.fractions("p_values"),
            certified=read.integers("certified", least=0),
            k=optional["k"],
            units_needed=optional["units_needed"],
        )
        if not len(result.risks) == len(result.p_values) == result.max_k + 1:
            raise read.error(f"expected {result.max_k + 1} risks and p_values")
        if list(result.certified) != sorted(set(result.certified) & set(range(result.max_k + 1))):
            raise read.error(f"certified is not a rising list within 0..{result.max_k}")
        if result.units_needed is not None and result.units_needed <= result.n_units:
            raise read.error("units_needed is not above n_units")
        if result.k != (least_risk(result.risks, result.certified) if result.certified else None):
            raise read.error("k is not the certified k of least risk")
        return result


def least_risk(risks: Sequence[float], candidates: Sequence[int]) -> int:
    """Return the candidate k with the least risk, then with the fewest contexts.

    Risks that differ only by rounding count as equal: the same losses summed in another order must not decide.
    """
    return min(candidates, key=lambda k: (round(risks[k], 12), k))
