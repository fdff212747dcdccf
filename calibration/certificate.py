"""The certificate: what was promised, on what evidence, and for exactly which system.

It is plain JSON. The seal in the file catches edits and damage, and what it claims is found again from its own numbers.
That is no signature: without one (see `sealing.signature`), a certificate is worth as much as the place it came from.
It names no patient, not even by a hash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar

from calibration.coverage import QuestionKind, SourceRisk, why_not_covered
from calibration.order import order_of_testing
from calibration.outcome_table import OutcomeTable
from calibration.policies import Policy
from calibration.results import DomainResult
from calibration.sealing.sealed import MOST_BYTES, REMEDY, digest, intact, read_object, render, seal
from calibration.testing.family import MOST_POLICIES
from calibration.testing.pvalues import ANYTIME
from calibration.testing.recheck import contradiction
from calibration.wording import promise_sentence
from titrate import InputError, JsonFields, NothingCertifiedError, write_atomic

FINGERPRINTS = ("encoder", "index", "prompt", "mllm", "questions")
"""What every certificate is tied to; it may be tied to more."""

_SPOKEN = {
    "mllm": "model or its adapter",
    "questions": "question file",
    "retrieval": "retrieval mode",
    "view": "window, frame or decoding of images",
    "generation": "limit on the length of answers",
}


@dataclass(frozen=True)
class Certificate:
    """A promise: with probability 1 - delta, the risk is at most alpha for every certified policy of every domain.

    The risk is the expected mean loss of a new patient; of a policy with a threshold, that loss where an answer is
    given, over the expected share of questions answered. The probability is over the draw of the calibration patients.
    docs/certificate.md describes the file.

    Parameters
    ----------
    alpha, delta
        The promised risk, and the chance that any part of the promise is false.
    unit
        What counts as one independent observation: ``"patient"``, ``"study"``, ``"image"``, or ``"case"`` where it is
        the patient of some questions and the study or the image of those that name none.
    p_value, procedure
        Names in `calibration.testing.pvalues` and `calibration.testing.procedures`.
    fingerprints
        Hashes of what the outcomes depended on: at least those of `FINGERPRINTS`.
    versions
        Of the software that computed it, by name.
    created
        When, in UTC, ISO 8601.
    domains
        The result for each domain.
    outcomes
        `OutcomeTable.fingerprint` of the outcomes of the patients tested.
    prior
        How delta was spread over the policies at the start: one of `calibration.testing.prior.PRIORS`.
    prior_table
        `OutcomeTable.fingerprint` of the outcomes that the prior came from, None if it is uniform.
    sequential
        Whether the tests were looked at as outcomes came in, and ended early where they could.
    disjoint_from
        Names of the other splits that were found to share no patient with the calibration, sorted.
    rounds
        How many patients there were at each round: the first calibration, then each continuation with new ones.
    declined
        How many questions showed images unlike the index's domains and were not answered; nothing is promised of such.
    look, spent
        How many systems were calibrated on these patients, this one counted, and what of delta went to the others;
        delta is the chance that a promise to any of them is false.
    questions
        The kinds of questions calibrated in each domain. Nothing else is covered.
    sources
        How the chosen policy, or the best, did with each source of a domain's questions, where they name theirs.
    """

    SCHEMA_VERSION: ClassVar[int] = 7

    alpha: float
    delta: float
    unit: str
    p_value: str
    procedure: str
    fingerprints: Mapping[str, str]
    versions: Mapping[str, str]
    created: str
    domains: Mapping[str, DomainResult]
    outcomes: str
    prior: str = "uniform"
    prior_table: str | None = None
    sequential: bool = False
    disjoint_from: tuple[str, ...] = ()
    rounds: tuple[int, ...] = ()
    declined: int = 0
    look: int = 1
    spent: float = 0.0
    questions: Mapping[str, tuple[QuestionKind, ...]] = field(default_factory=dict)
    sources: Mapping[str, tuple[SourceRisk, ...]] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether new patients can be added to the tests; else they have to be calibrated by themselves."""
        return self.p_value in ANYTIME and not self.sequential

    @property
    def certified_domains(self) -> tuple[str, ...]:
        """The domains with at least one certified policy, sorted."""
        return tuple(sorted(name for name, result in self.domains.items() if result.certified))

    def verify(self, fingerprints: Mapping[str, str]) -> None:
        """Check that the system in use is the one that was calibrated.

        Parameters
        ----------
        fingerprints
            Of the system in use, under the names of `fingerprints`. Only ``questions`` and ``loss`` may be left out:
            they belong to the calibration, and nobody needs them to ask another question.

        Raises
        ------
        InputError
            One line that names each thing that changed, appeared or went.
        """
        names = [*FINGERPRINTS, *sorted((self.fingerprints.keys() | fingerprints.keys()) - set(FINGERPRINTS))]
        names = [name for name in names if name in fingerprints or name not in ("questions", "loss")]
        changed = [name for name in names if self.fingerprints.get(name) != fingerprints.get(name)]
        if changed:
            spoken = " and ".join(f"the {_SPOKEN.get(name, name)}" for name in changed)
            raise InputError(f"{spoken} changed since calibration; {REMEDY}")

    def result(self, domain: str) -> DomainResult:
        """Return the result for a domain.

        Raises
        ------
        InputError
            If the calibration questions held none of this domain.
        """
        if domain not in self.domains:
            known = ", ".join(sorted(self.domains))
            raise InputError(f"the certificate covers {known}, not {domain}; calibrate with questions of that domain")
        return self.domains[domain]

    def policy(self, domain: str) -> Policy:
        """Return the certified policy of a domain.

        Raises
        ------
        InputError
            If the calibration questions held none of this domain.
        NothingCertifiedError
            If they did, but nothing was certified; the message says how far it was from it.
        """
        policy = self.result(domain).policy
        if policy is None:
            raise NothingCertifiedError(self.sentence(domain))
        return policy

    def why_not_covered(self, domain: str, text: str, options: Sequence[str] | None) -> str | None:
        """Why no promise covers a question in a domain; see `calibration.coverage.why_not_covered`."""
        return why_not_covered(self.questions.get(domain, ()), text, options)

    def sentence(self, domain: str) -> str:
        """Say in one plain sentence what is promised for a domain, or why nothing is.

        Raises
        ------
        InputError
            If the calibration questions held none of this domain.
        """
        return promise_sentence(
            domain, self.result(domain), self.alpha, self.delta, self.unit, self.declined, goes_on=self.goes_on
        )

    def tested_outcomes(self, domain: str, table: OutcomeTable) -> OutcomeTable:
        """Return the rows of a domain's patients that were tested, in the order of the table.

        Parameters
        ----------
        domain
            One of `domains`.
        table
            Outcomes of that domain: of all its patients, or, where the tests ended early, of those tested alone.

        Raises
        ------
        InputError
            If the table is of more or fewer patients.
        """
        result, names = self.result(domain), sorted(set(table.units))
        if len(names) == result.n_units:
            return table
        if len(names) != result.planned_units:
            raise InputError(
                f"{len(names)} patients in {domain}, the certificate tested {result.n_units}; "
                "give the outcome table that it was computed from"
            )
        tested = {names[place] for place in order_of_testing(names)[: result.n_units]}
        return table.take([row for row, unit in enumerate(table.units) if unit in tested])

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all: a line for each policy.

        Raises
        ------
        InputError
            If the file cannot be written, or would be too large to be read again.
        """
        content = {
            "schema_version": self.SCHEMA_VERSION,
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "fingerprints": dict(self.fingerprints),
            "versions": dict(self.versions),
            "domains": {name: self.domains[name].to_json() for name in sorted(self.domains)},
            "questions": {name: [kind.to_json() for kind in self.questions[name]] for name in sorted(self.questions)},
            "sources": {name: [row.to_json() for row in self.sources[name]] for name in sorted(self.sources)},
        }
        content["digest"] = digest(content)
        content["seal"] = seal(content)
        text = render(content) + "\n"
        if len(text.encode()) > MOST_BYTES:
            raise InputError(
                f"{path}: the certificate would be larger than {MOST_BYTES >> 20} MiB, and is not read then; "
                "calibrate with fewer policies, or fewer wordings of questions"
            )
        write_atomic(path, text)

    @classmethod
    def load(cls, path: Path, signed_by: str | None = None) -> "Certificate":
        """Read and check what `save` wrote, and first its signature if a key is given; see `sealing.signature`.

        Raises
        ------
        InputError
            If the file is not signed by that key, cannot be read, is too large, is of another schema version, is not
            as it was written, or claims what its own numbers do not show.
        """
        value = read_object(path, signed_by)
        if value.get("schema_version") != cls.SCHEMA_VERSION:
            raise InputError(f"{path} is not a certificate of schema version {cls.SCHEMA_VERSION}; {REMEDY}")
        names = ("schema_version", *(one.name for one in fields(cls)), "digest", "seal")
        read = JsonFields(value, str(path), names, REMEDY)
        if not intact(value):
            raise read.error("edited or damaged since it was written")
        rows = [item.get("policies") for item in read.object("domains").values() if isinstance(item, dict)]
        if sum(len(item) for item in rows if isinstance(item, list)) > MOST_POLICIES:  # before anything is made of them
            raise read.error(f"it has more than {MOST_POLICIES} policies")
        asked, sources = (
            JsonFields(each, f"{path}, {name}", tuple(each), REMEDY)
            for name, each in (("questions", read.object("questions")), ("sources", read.object("sources")))
        )
        certificate = cls(
            alpha=read.fraction("alpha"),
            delta=read.fraction("delta"),
            unit=read.text("unit"),
            p_value=read.text("p_value"),
            procedure=read.text("procedure"),
            fingerprints=read.text_map("fingerprints"),
            versions=read.text_map("versions"),
            created=read.text("created"),
            domains={
                name: DomainResult.from_json(item, f"{path}, domain {name}", REMEDY)
                for name, item in read.object("domains").items()
            },
            outcomes=read.text("outcomes"),
            prior=read.text("prior"),
            prior_table=None if value.get("prior_table") is None else read.text("prior_table"),
            sequential=read.flag("sequential"),
            disjoint_from=read.texts("disjoint_from"),
            rounds=tuple(read.integers("rounds", least=0)),
            declined=read.integer("declined", least=0),
            look=read.integer("look", least=1),
            spent=read.fraction("spent"),
            questions={
                name: tuple(QuestionKind.from_json(kind, f"{path}, questions of {name}", REMEDY) for kind in kinds)
                for name, kinds in ((name, asked.items(name)) for name in asked.value)
            },
            sources={
                name: tuple(SourceRisk.from_json(row, f"{path}, sources of {name}", REMEDY) for row in rows)
                for name, rows in ((name, sources.items(name)) for name in sources.value)
            },
        )
        problem = contradiction(certificate)
        if problem:
            raise read.error(problem)
        return certificate
