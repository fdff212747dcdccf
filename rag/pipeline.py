"""A question about an image → an answer: route, retrieve, choose how many reports, prompt, answer."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

from calibration import Certificate
from indexing import ImageView, Manifest, load_image
from rag.answer import Answer, Context
from rag.answering import combine
from rag.models.loading.options import LoadingOptions
from rag.policy_source import Certified, PolicySource, choose_source, load_certificate
from rag.questions import Query
from rag.retrieval.modes import DEFAULT_MODE, RetrievalMode
from rag.retrieval.routing import OutOfDomain
from rag.system import AnsweringSystem, SystemOptions
from titrate import InputError, OutOfDomainError, normal_id


class Pipeline:
    """A system and what decides how many reports it reads, ready to be asked; a context manager.

    Parameters
    ----------
    system
        Index, encoder and model.
    source
        `Certified`, or `FixedK` to go without a guarantee.
    out_of_domain
        What to do about an image that looks like none of the index's domains: ``"decline"`` to answer, or ``"search"``
        all domains, without a guarantee.

    Raises
    ------
    InputError
        If the certificate was made for another system.
    """

    def __init__(
        self, system: AnsweringSystem, source: PolicySource, *, out_of_domain: OutOfDomain = "decline"
    ) -> None:
        self.system, self.source, self.out_of_domain = system, source, out_of_domain
        if isinstance(source, Certified):
            source.certificate.verify(system.fingerprints)
            system.tell_of_other_versions(source.certificate)

    @classmethod
    def open(
        cls,
        index: str | Path,
        *,
        mllm: str,
        certificate: str | Path | None = None,
        k: int | None = None,
        adapter: str | Path | None = None,
        encoder: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        retrieval: RetrievalMode = DEFAULT_MODE,
        out_of_domain: OutOfDomain = "decline",
        view: ImageView | None = None,
        api_key: str | None = None,
        mllm_api_key: str | None = None,
        url: str | None = None,
        prompt: str | Path | None = None,
        max_report_tokens: int | None = None,
        loading: LoadingOptions | None = None,
        signed_by: str | None = None,
    ) -> "Pipeline":
        """Open an index and load the models.

        Parameters
        ----------
        index, mllm, adapter, encoder, device, dtype, retrieval, view, api_key, mllm_api_key, url, prompt
            See `SystemOptions`.
        max_report_tokens, loading
            See `SystemOptions`.
        certificate
            Certificate file, which decides how many reports are read.
        k
            Read so many in every domain, without a guarantee. Takes precedence over the certificate.
        out_of_domain
            As for `Pipeline`.
        signed_by
            Public key, as `Certificate.load` takes it: a certificate without its signature is refused.

        Raises
        ------
        InputError
            If neither a certificate nor k is given, or anything cannot be opened or does not belong together; what
            needs no model is found before one is loaded.
        TitrateError
            If a server cannot be reached.
        """
        options = SystemOptions(
            index=Path(index),
            mllm=mllm,
            adapter=None if adapter is None else Path(adapter),
            encoder=encoder,
            device=device,
            dtype=dtype,
            retrieval=retrieval,
            view=view,
            api_key=api_key,
            mllm_api_key=mllm_api_key,
            url=url,
            prompt=None if prompt is None else Path(prompt),
            max_report_tokens=max_report_tokens,
            loading=loading or LoadingOptions(),
        )
        promised = load_certificate(certificate, signed_by)
        return cls.open_system(options, promised, k, out_of_domain)

    @classmethod
    def open_system(
        cls,
        options: SystemOptions,
        certificate: Certificate | None = None,
        k: int | None = None,
        out_of_domain: OutOfDomain = "decline",
    ) -> "Pipeline":
        """The same, with the options of the system in one, and the certificate read."""
        source = choose_source(certificate, k)
        options.check(certificate)
        system = AnsweringSystem.open(options)
        try:
            if certificate is not None:
                certificate.verify(system.fingerprints)
            return cls(system, source, out_of_domain=out_of_domain)
        except BaseException:
            system.close()
            raise

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index, if `Pipeline.open` opened it."""
        self.system.close()

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of everything that an answer depends on, as certificates name it."""
        return self.system.fingerprints

    def ask(
        self,
        image: str | Path,
        question: str,
        options: Sequence[str] | None = None,
        *,
        patient: str | int | None = None,
        study: str | int | None = None,
    ) -> Answer:
        """Answer a question about an image.

        Parameters
        ----------
        image
            Image file.
        question
            The question.
        options
            Answers to choose from; without them the answer is free text, which a certificate
            covers only if it was calibrated with open questions. Options, and words of the question, that were not
            calibrated are not covered.
        patient, study
            Whose image it is, so that nothing of theirs is retrieved. Its own image never is, and where that is in
            the index, neither is anything else of its patient.

        Raises
        ------
        InputError
            If the image cannot be read, or the question or an option is empty.
        OutOfDomainError
            If the image looks like none of the index's domains, and such are declined.
        NothingCertifiedError
            If the certificate holds no policy for the image's domain.
        """
        query = make_query(image, question, options, patient=patient, study=study)
        retrieved = self.system.retrieve([query], self.source.max_k, self.out_of_domain)
        if retrieved.declined:
            raise OutOfDomainError(
                f"image {image} looks like none of the index's domains ({', '.join(self.system.index.domains)}): "
                "declined; with --out-of-domain search all of them are searched, without a guarantee"
            )
        domain, in_domain = retrieved.domains[0], retrieved.in_domain[0]
        policy = self.source.policy(domain)
        if policy.needs_options and query.options is None:
            raise InputError(
                f"in {domain} the certified policy weighs options; give some with --options, or set the number of "
                "reports with --k, without a guarantee"
            )
        ks = policy.ks if policy.needs_options else (policy.count(retrieved.similarities(0, policy.k)),)
        replies = self.system.answer(retrieved, ks)[0]
        reply, alone = combine(policy, query, replies)
        k = 0 if alone else ks[-1]
        matches = retrieved.matches[0][:k]
        prompt = self.system.prompt
        contexts = tuple(
            Context(number, match.record.id, read.text, match.record.image, match.similarity, read.cut)
            for number, match in enumerate(matches, start=1)
            for read in [prompt.read(match.record.report)]
        )
        declined = query.options is not None and not policy.answers(reply.confidence)
        return Answer(
            text=None if declined else reply.text,
            probabilities=None
            if reply.probabilities is None
            else MappingProxyType(dict(zip(query.options or (), reply.probabilities, strict=True))),
            domain=domain,
            domain_probability=retrieved.probabilities[0],
            in_domain=in_domain,
            contexts=contexts,
            certified=self.source.covers(domain, query, in_domain),
            statement=self.source.sentence(domain, query, in_domain),
            prompt=prompt.render(query.text, query.options, [match.record.report for match in matches]),
        )


def make_query(
    image: str | Path,
    question: str,
    options: Sequence[str] | None = None,
    *,
    patient: str | int | None = None,
    study: str | int | None = None,
) -> Query:
    """A question as `Pipeline.ask` takes it.

    Raises
    ------
    InputError
        If the question or an option is empty, or there is only one option.
    """
    chosen = None if options is None else tuple(option.strip() for option in options)
    return Query(image=Path(image), text=question, options=chosen, patient=normal_id(patient), study=normal_id(study))


def check_query(query: Query, options: SystemOptions) -> None:
    """Make sure that a question's image can be read, before any model is loaded.

    Raises
    ------
    InputError
        If it cannot, or there is no index that says how it is shown.
    """
    load_image(query.image, options.view or Manifest.load(options.index).view)
