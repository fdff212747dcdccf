"""A question about an image → an answer: route, retrieve, choose how many reports, prompt, answer."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calibration import Certificate, Policy
from indexing import Encoder, Exclusion, ImageView, Index, Match, load_image
from rag.answer import Answer, Context
from rag.models.base import MLLM, Prompt, probabilities
from rag.prompt import PromptTemplate
from rag.retrieval.deduplicate import distinct
from rag.retrieval.retriever import DEFAULT_MODE, RetrievalMode, SimilarCaseRetriever
from titrate import InputError, OutOfDomainError, hash_json

MAX_NEW_TOKENS = 96

OutOfDomain = Literal["decline", "search"]


class Pipeline:
    """An index, an encoder, an MLLM and a policy, ready to be asked; a context manager.

    Parameters
    ----------
    index, encoder, mllm
        The encoder must be the index's own.
    certificate
        Decides how many contexts are read.
    k
        Read so many contexts in every domain, without a guarantee. Takes precedence over the certificate.
    prompt
        The prompt's wording.
    retrieval
        What similar cases are found by.
    out_of_domain
        What to do about an image that looks like none of the index's domains: ``"decline"`` to answer, or ``"search"``
        all domains, without a guarantee.
    view
        How queries are decoded; by default as the index's images were.

    Raises
    ------
    InputError
        If neither a certificate nor k is given, k is negative, or the certificate was made for another system.
    """

    def __init__(
        self,
        index: Index,
        encoder: Encoder,
        mllm: MLLM,
        *,
        certificate: Certificate | None = None,
        k: int | None = None,
        prompt: PromptTemplate | None = None,
        retrieval: RetrievalMode = DEFAULT_MODE,
        out_of_domain: OutOfDomain = "decline",
        view: ImageView | None = None,
    ) -> None:
        if certificate is None and k is None:
            raise InputError(
                "nothing says how many reports to read: give a certificate, or k to go without a guarantee"
            )
        if k is not None and k < 0:
            raise InputError(f"k is {k}; give 0 or more")
        self.index, self.encoder, self.mllm = index, encoder, mllm
        self.retriever = SimilarCaseRetriever(index, encoder, mode=retrieval)
        self.prompt = prompt or PromptTemplate()
        self.certificate, self.k = certificate, k
        self.out_of_domain = out_of_domain
        self.view = view or index.manifest.view
        self._resources = ExitStack()
        if certificate is not None:
            certificate.verify(self.fingerprints)

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
    ) -> "Pipeline":
        """Open an index and load the models.

        Parameters
        ----------
        index
            Index folder.
        mllm
            Model folder, OWNER/NAME of the hub, or an OpenAI-compatible server's model as URL#MODEL; see `open_mllm`.
        certificate
            Certificate file.
        k
            Number of contexts, without a guarantee.
        adapter
            PEFT adapter's folder.
        encoder
            The encoder, if it is no longer where it was when the index was built.
        device, dtype
            As for `TransformersMLLM.open`.
        retrieval, out_of_domain, view
            As for `Pipeline`.
        api_key
            Of the Qdrant server, if the index keeps its vectors on one; see `indexing.Index.open`.
        mllm_api_key
            Of the server that runs the model, if one does.

        Raises
        ------
        InputError
            If anything cannot be opened or does not belong together.
        """
        from rag.models.open import open_mllm

        with ExitStack() as stack:
            promised = Certificate.load(Path(certificate)) if certificate is not None else None
            opened = stack.enter_context(Index.open(Path(index), api_key))
            pipeline = cls(
                opened,
                Encoder.open(encoder or opened.manifest.encoder, device),
                open_mllm(mllm, adapter=adapter, device=device, dtype=dtype, api_key=mllm_api_key),
                certificate=promised,
                k=k,
                retrieval=retrieval,
                out_of_domain=out_of_domain,
                view=view,
            )
            pipeline._resources = stack.pop_all()
        return pipeline

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index, if `Pipeline.open` opened it."""
        self._resources.close()

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of everything that an answer depends on, as certificates name it."""
        return {
            "encoder": self.encoder.fingerprint,
            "index": self.index.fingerprint,
            "prompt": self.prompt.fingerprint,
            "mllm": self.mllm.fingerprint,
            "retrieval": self.retriever.fingerprint,
            "view": hash_json(asdict(self.view)),
        }

    def ask(
        self,
        image: str | Path,
        question: str,
        options: Sequence[str] | None = None,
        *,
        patient: str | None = None,
        study: str | None = None,
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
            covers only if it was calibrated with open questions too.
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
        if not question.strip():
            raise InputError("the question is empty; ask something")
        if options is not None:
            options = [option.strip() for option in options]
            if len(options) < 2 or len(set(options)) < len(options) or "" in options:
                raise InputError("give at least two options, all different, or none for an answer in free text")
        picture = load_image(Path(image), self.view)
        vectors = self.encoder.embed_images([picture])
        domain, probability = self._route(vectors)
        in_domain = bool(self.index.in_domain(vectors, [domain])[0])
        if not in_domain and self.out_of_domain == "decline":
            raise OutOfDomainError(
                f"image {image} looks like none of the index's domains ({', '.join(self.index.domains)}): declined; "
                "with --out-of-domain search all of them are searched, without a guarantee"
            )
        policy = self._policy(domain)
        searched = [domain] if in_domain else self.index.domains
        matches = self._similar(vectors, searched, Exclusion(None, study, patient), policy.k, question)
        scale = self.index.manifest.logit_scale
        matches = matches[: policy.count([scale * match.similarity for match in matches])]
        contexts = tuple(
            Context(number, match.record.id, match.record.report, match.record.image, match.similarity)
            for number, match in enumerate(matches, start=1)
        )
        message = self.prompt.render(question, options, [context.report for context in contexts])
        text, chances = self._answer(picture, message, options)
        declined = chances is not None and not policy.answers(max(chances.values()))
        return Answer(
            text=None if declined else text,
            probabilities=chances,
            domain=domain,
            domain_probability=probability,
            in_domain=in_domain,
            contexts=contexts,
            certified=self.k is None and self._covers(options) and in_domain,
            statement=self._statement(domain, options, in_domain),
            prompt=message,
        )

    def _similar(
        self, vectors: NDArray[np.float32], domains: Sequence[str], own: Exclusion, limit: int, question: str
    ) -> list[Match]:
        """The cases most similar to an image [1, d] in any of the domains, best first."""
        asked = len(domains)
        found = self.retriever.similar(np.repeat(vectors, asked, 0), domains, [own] * asked, limit, [question] * asked)
        if asked == 1:
            return found[0]
        merged = [match for matches in found for match in matches]
        return distinct(sorted(merged, key=lambda match: (-match.similarity, match.record.id)))[:limit]

    def _route(self, vectors: NDArray[np.float32]) -> tuple[str, float]:
        domains, chances = self.index.route(vectors)
        return domains[0], float(chances[0].max())

    def _policy(self, domain: str) -> Policy:
        if self.k is not None:
            return Policy(self.k)
        assert self.certificate is not None  # the constructor sees to it
        return self.certificate.policy(domain)

    def _answer(
        self, picture: Image.Image, message: str, options: Sequence[str] | None
    ) -> tuple[str, Mapping[str, float] | None]:
        prompts = [Prompt(picture, message)]
        if options is None:
            return self.mllm.generate(prompts, MAX_NEW_TOKENS)[0], None
        chances = probabilities(self.mllm.score(prompts, [options])[0])
        named = {option: float(chance) for option, chance in zip(options, chances, strict=True)}
        return options[int(chances.argmax())], MappingProxyType(named)

    def _covers(self, options: Sequence[str] | None) -> bool:
        """Whether the certificate was made of such questions: of those in free text only if it names their loss."""
        return options is not None or (self.certificate is not None and "loss" in self.certificate.fingerprints)

    def _statement(self, domain: str, options: Sequence[str] | None, in_domain: bool) -> str:
        if not in_domain:
            return "Not certified: the image looks like none of the index's domains, and all of them were searched."
        if self.k is not None:
            return f"Not certified: k = {self.k} was set by hand."
        if not self._covers(options):
            return "Not certified: the certificate covers questions with options, not free text."
        assert self.certificate is not None  # the constructor sees to it
        return self.certificate.sentence(domain)
