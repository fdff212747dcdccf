"""What says how many reports are read: a number set by hand, or a certificate."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from calibration import Certificate, Policy
from rag.questions import Query, closed_questions, questions_fingerprint, read_questions
from titrate import InputError


class PolicySource(ABC):
    """Says which policy a domain has, whether a promise covers a question, and in which words."""

    @property
    @abstractmethod
    def max_k(self) -> int:
        """The most contexts that any domain's policy reads."""

    @abstractmethod
    def policy(self, domain: str) -> Policy:
        """The policy of a domain.

        Raises
        ------
        InputError
            If nothing is known of this domain.
        NothingCertifiedError
            If no policy of this domain could be certified.
        """

    @abstractmethod
    def covers(self, domain: str, query: Query, in_domain: bool) -> bool:
        """Whether a promise covers the answer to a question.

        Parameters
        ----------
        domain, query
            The domain that its image looks like, and the question.
        in_domain
            Whether its image looks like one of the index's domains.
        """

    @abstractmethod
    def sentence(self, domain: str, query: Query, in_domain: bool) -> str:
        """What is promised of the answer, or why nothing is, in one sentence."""


@dataclass(frozen=True)
class FixedK(PolicySource):
    """So many contexts in every domain, without a guarantee.

    Raises
    ------
    InputError
        If the number is negative.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 0:
            raise InputError(f"k is {self.k}; give 0 or more")

    @property
    def max_k(self) -> int:
        """The number."""
        return self.k

    def policy(self, domain: str) -> Policy:
        """The same in every domain."""
        return Policy(self.k)

    def covers(self, domain: str, query: Query, in_domain: bool) -> bool:
        """A number that was set by hand carries no promise."""
        return False

    def sentence(self, domain: str, query: Query, in_domain: bool) -> str:
        """That nothing is promised, and why."""
        return f"Not certified: k = {self.k} was set by hand." if in_domain else _OUTSIDE


@dataclass(frozen=True)
class Certified(PolicySource):
    """The certified policy of each domain."""

    certificate: Certificate

    @property
    def max_k(self) -> int:
        """The most contexts that any certified policy reads."""
        policies = [self.certificate.policy(domain) for domain in self.certificate.certified_domains]
        return max((policy.k for policy in policies), default=0)

    def policy(self, domain: str) -> Policy:
        """The certificate's; see `calibration.Certificate.policy`."""
        return self.certificate.policy(domain)

    def covers(self, domain: str, query: Query, in_domain: bool) -> bool:
        """Images like the index's, and questions of a kind that was calibrated in the domain."""
        return in_domain and self._why_not(domain, query) is None

    def sentence(self, domain: str, query: Query, in_domain: bool) -> str:
        """The certificate's sentence, or why it does not hold here."""
        if not in_domain:
            return _OUTSIDE
        reason = self._why_not(domain, query)
        return self.certificate.sentence(domain) if reason is None else f"Not certified: {reason}."

    def _why_not(self, domain: str, query: Query) -> str | None:
        return self.certificate.why_not_covered(domain, query.text, query.option_keys)


_OUTSIDE = "Not certified: the image looks like none of the index's domains."


def load_certificate(path: str | Path | None, signed_by: str | None = None) -> Certificate | None:
    """The certificate that a user names, or None if none is named.

    Parameters
    ----------
    path, signed_by
        As for `Certificate.load`.

    Raises
    ------
    InputError
        As `Certificate.load` does; or if there is a key and nothing that it could have signed.
    """
    if path is None:
        if signed_by is not None:
            raise InputError("a key without a certificate checks nothing; give the certificate, or leave out the key")
        return None
    return Certificate.load(Path(path), signed_by)


def choose_source(certificate: Certificate | None, k: int | None) -> PolicySource:
    """What decides where a certificate, a number, or both are given: the number takes precedence.

    Raises
    ------
    InputError
        If neither is given, or the number is negative.
    """
    if k is not None:
        return FixedK(k)
    if certificate is None:
        raise InputError("nothing says how many reports to read: give a certificate, or k to go without a guarantee")
    return Certified(certificate)


def check_calibration_questions(certificate: Certificate, questions: Path, root: Path | None, split: str) -> None:
    """Make sure that a certificate was made with the questions that a file holds now.

    Parameters
    ----------
    certificate
        The certificate.
    questions, root, split
        The question file, the folder of its images (by default the file's own), and the split that was calibrated with.

    Raises
    ------
    InputError
        If the file cannot be read, or the certificate was made with other questions.
    """
    read = read_questions(questions, root=root, splits=[split])
    asked = read if "loss" in certificate.fingerprints else closed_questions(read, questions)
    certificate.verify({**certificate.fingerprints, "questions": questions_fingerprint(asked)})
