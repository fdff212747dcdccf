"""Which records a search may find, in terms that every engine understands."""

from dataclasses import dataclass

from titrate import normal_id


@dataclass(frozen=True)
class FieldFilter:
    """Records whose field has one of some values, or none of them.

    Attributes
    ----------
    field
        Name of a field of `Record`.
    values
        The values. A record that lacks the field has none of them.
    wanted
        True keeps records that have one of the values, False those that have none.
    """

    field: str
    values: tuple[str, ...]
    wanted: bool = True

    def __post_init__(self) -> None:
        if self.field in ("id", "patient", "study"):
            object.__setattr__(self, "values", tuple(normal_id(value) or value for value in self.values))


@dataclass(frozen=True)
class Exclusion:
    """What a query must not get back: its own record, study and patient, as far as they are known."""

    record_id: str | None = None
    study: str | None = None
    patient: str | None = None

    def __post_init__(self) -> None:
        for name in ("record_id", "study", "patient"):
            object.__setattr__(self, name, normal_id(getattr(self, name)))

    def filters(self) -> list[FieldFilter]:
        """The same as filters, all of which a record must pass."""
        fields = {"id": self.record_id, "study": self.study, "patient": self.patient}
        return [FieldFilter(name, (value,), wanted=False) for name, value in fields.items() if value]
