"""What a search asks of records besides nearness, in terms that every engine understands."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """What a field of a record must be, or must not be.

    Attributes
    ----------
    field
        Of a `Record`.
    values
        It has one of these; a record that lacks the field has none.
    wanted
        False turns the condition round: it has none of these.
    """

    field: str
    values: tuple[str, ...]
    wanted: bool = True


@dataclass(frozen=True)
class Exclusion:
    """What a query must not get back: its own record, study and patient, as far as they are known."""

    record_id: str | None = None
    study: str | None = None
    patient: str | None = None

    def conditions(self) -> list[Condition]:
        """The same as conditions on records, all of which must hold."""
        fields = {"id": self.record_id, "study": self.study, "patient": self.patient}
        return [Condition(name, (value,), wanted=False) for name, value in fields.items() if value]
