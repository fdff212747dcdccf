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
    """What a query must not get back: its own record, study and patient, as far as they are known.

    ``study_pseudonym`` and ``patient_pseudonym`` are the names under which an index of DICOM files keeps the same
    study and patient: see `Index.recognise`.
    """

    record_id: str | None = None
    study: str | None = None
    patient: str | None = None
    study_pseudonym: str | None = None
    patient_pseudonym: str | None = None

    def __post_init__(self) -> None:
        for name in ("record_id", "study", "patient"):
            object.__setattr__(self, name, normal_id(getattr(self, name)))

    def filters(self) -> list[FieldFilter]:
        """The same as filters, all of which a record must pass."""
        fields = {"id": (self.record_id,), "study": self.studies, "patient": self.patients}
        known = {name: tuple(value for value in values if value) for name, values in fields.items()}
        return [FieldFilter(name, values, wanted=False) for name, values in known.items() if values]

    @property
    def studies(self) -> tuple[str | None, ...]:
        """The names of its study."""
        return self.study, self.study_pseudonym

    @property
    def patients(self) -> tuple[str | None, ...]:
        """The names of its patient."""
        return self.patient, self.patient_pseudonym
