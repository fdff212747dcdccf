"""An index, an encoder and a model, ready to retrieve and to answer; which policy decides is not its business."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from calibration import COMPUTED_WITH, Certificate
from indexing import DECODING_VERSION, ImageView, Index, Manifest, check_encoder_files, encoder_to_load
from rag.answering import Reply, answer, generation_fingerprint
from rag.models.base import OPENING_ANSWER
from rag.models.checks import check_model_files
from rag.models.loading.options import LoadingOptions
from rag.prompt import PromptTemplate, read_instructions
from rag.retrieval.modes import DEFAULT_MODE, RetrievalMode, check_mode, retrieval_fingerprint
from rag.retrieval.routing import Asked, OutOfDomain, Retrieved, retrieve
from titrate import InputError, TitrateWarning, hash_json

if TYPE_CHECKING:
    from PIL import Image

    from indexing import Encoder
    from rag.models.base import MLLM


@dataclass(frozen=True)
class SystemOptions:
    """What a system is made of.

    Attributes
    ----------
    index
        Index folder.
    mllm
        Model folder, OWNER/NAME of the hub, or an OpenAI-compatible server's model as URL#MODEL; see `open_mllm`. None
        where only retrieval is judged.
    adapter
        PEFT adapter's folder.
    encoder
        The index's encoder, if it is no longer where it was when the index was built, or this user never named it.
    device, dtype, loading
        As for `TransformersMLLM.open`.
    retrieval
        What is compared to find similar cases.
    view
        How the images that are asked about are shown; by default as the index's images were.
    api_key
        Of the Qdrant server, if the index keeps its vectors on one; see `indexing.Index.open`. Never shown.
    mllm_api_key
        Of the server that runs the model, if one does. Never shown.
    url
        Of the Qdrant server that keeps the index's vectors, if this user never named it; see `indexing.Index.open`.
    prompt
        File of the instructions that begin every message, see `read_instructions`; None for the built-in ones.
    max_report_tokens
        Tokens of a prompt that one report may take; None for what the model has room for, see `PromptTemplate`.
    """

    index: Path
    mllm: str | None = None
    adapter: Path | None = None
    encoder: str | None = None
    device: str | None = None
    dtype: str | None = None
    retrieval: RetrievalMode = DEFAULT_MODE
    view: ImageView | None = None
    api_key: str | None = None
    mllm_api_key: str | None = None
    url: str | None = None
    prompt: Path | None = None
    max_report_tokens: int | None = None
    loading: LoadingOptions = field(default_factory=LoadingOptions)

    def __repr__(self) -> str:
        return f"SystemOptions(index={self.index!r}, mllm={self.mllm!r})"

    def template(self) -> PromptTemplate:
        """The words around a question.

        Raises
        ------
        InputError
            If the file of instructions is unsound, or a report may take too few tokens.
        """
        if self.prompt is None:
            return PromptTemplate(max_report_tokens=self.max_report_tokens)
        return PromptTemplate(read_instructions(self.prompt), self.max_report_tokens)

    def check(self, certificate: Certificate | None = None) -> None:
        """Refuse all that can be refused without loading a model, which takes long.

        Parameters
        ----------
        certificate
            That is to hold for this system, as far as that can be told from the index and from what is set here.

        Raises
        ------
        InputError
            If there is no index, no encoder or no model where one should be, there is no such retrieval mode, the
            prompt is unsound, or the certificate was made for another index, encoder, prompt, view or mode.
        """
        check_mode(self.retrieval)
        template = self.template()
        manifest = Manifest.load(self.index)
        check_encoder_files(encoder_to_load(self.encoder, manifest.encoder))
        manifest.store.admit(self.url)
        if self.mllm is not None:
            check_model_files(self.mllm, adapter=self.adapter, dtype=self.dtype, loading=self.loading)
        if certificate is not None:
            known = light_fingerprints(manifest, template, self.retrieval, self.view)
            certificate.verify({**certificate.fingerprints, **known})


class AnsweringSystem:
    """An index, an encoder, and an MLLM with a prompt; a context manager.

    Parameters
    ----------
    index, encoder, mllm
        The encoder must be the index's own.
    prompt
        The prompt's wording; tokens are counted as this model does.
    retrieval
        What similar cases are found by.
    view
        How the images that are asked about are shown; by default as the index's images were.

    Raises
    ------
    InputError
        If the encoder is not the index's own, there is no such retrieval mode, or the prompt does not suit the model.
    """

    def __init__(
        self,
        index: Index,
        encoder: "Encoder",
        mllm: "MLLM",
        *,
        prompt: PromptTemplate | None = None,
        retrieval: RetrievalMode = DEFAULT_MODE,
        view: ImageView | None = None,
    ) -> None:
        check_mode(retrieval)
        index.check_encoder(encoder)
        self.index, self.encoder, self.mllm = index, encoder, mllm
        self.prompt = (prompt or PromptTemplate()).for_model(mllm)
        self.retrieval: RetrievalMode = retrieval
        self.view = view or index.manifest.view
        self._resources = ExitStack()

    @classmethod
    def open(cls, options: SystemOptions) -> "AnsweringSystem":
        """Open an index and load the models.

        Raises
        ------
        InputError
            If anything cannot be opened or does not belong together; what needs no model is found first.
        TitrateError
            If a server cannot be reached.
        """
        options.check()
        if options.mllm is None:
            raise InputError("name the model with --mllm, or judge retrieval by itself with --retrieval")
        with ExitStack() as stack:
            index = stack.enter_context(Index.open(options.index, options.api_key, options.url))
            from indexing import Encoder  # open_clip, and transformers below, take seconds to import
            from rag.models.open import open_mllm

            system = cls(
                index,
                Encoder.open(encoder_to_load(options.encoder, index.manifest.encoder), options.device),
                open_mllm(
                    options.mllm,
                    adapter=options.adapter,
                    device=options.device,
                    dtype=options.dtype,
                    loading=options.loading,
                    api_key=options.mllm_api_key,
                ),
                prompt=options.template(),
                retrieval=options.retrieval,
                view=options.view,
            )
            system._resources = stack.pop_all()
        return system

    def __enter__(self) -> "AnsweringSystem":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index, if `AnsweringSystem.open` opened it."""
        self._resources.close()

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of everything that an answer depends on, as certificates name it."""
        light = light_fingerprints(self.index.manifest, self.prompt, self.retrieval, self.view)
        return {**light, "mllm": self.mllm.fingerprint}

    @property
    def versions(self) -> dict[str, str]:
        """Of the libraries and devices that retrieve and answer: rounding may differ with them."""
        return {**self.index.versions, **self.encoder.versions, **self.mllm.versions}

    def tell_of_other_versions(self, certificate: Certificate) -> None:
        """Warn if a certificate was made with other versions or on another device, which is no reason to refuse it.

        Nothing is said of versions that have no part in an answer, such as Python's, nor where a certificate holds
        none of these.

        Raises
        ------
        InputError
            If a server runs other weights now, which nothing but an answer shows.
        """
        self.refuse_other_weights(certificate.versions, "the certificate was", "calibrate this one")
        silent = {*COMPUTED_WITH, OPENING_ANSWER}
        ours = {name: value for name, value in self.versions.items() if name not in silent}
        held = {name: value for name, value in certificate.versions.items() if name not in silent}
        changed = [name for name in sorted(held.keys() | ours.keys()) if held and held.get(name) != ours.get(name)]
        if changed:
            each = ", ".join(f"{name} {held.get(name, 'none')} then, {ours.get(name, 'none')} now" for name in changed)
            warnings.warn(f"answers may be rounded otherwise than at calibration: {each}", TitrateWarning, stacklevel=2)

    def refuse_other_weights(self, versions: Mapping[str, str], made: str, mend: str) -> None:
        """Refuse what was made by a model with these versions if a server runs other weights under its name now.

        Raises
        ------
        InputError
            If so.
        """
        how = self.mllm.other_weights(versions)
        if how is not None:
            raise InputError(
                f"{made} made by other weights than the server runs now: to the same question {how}; start it with "
                f"that model again, or {mend}"
            )

    def retrieve(
        self, questions: Sequence[Asked], limit: int, out_of_domain: OutOfDomain = "decline"
    ) -> Retrieved[Asked]:
        """Route questions and retrieve their cases, at most so many each; see `rag.retrieve`.

        Raises
        ------
        TitrateError
            If the system was closed, or opened before this process was forked.
        """
        self.index.check_usable()  # before any model is asked: after a fork that may wait for ever
        return retrieve(
            self.index,
            self.encoder,
            questions,
            limit,
            self.retrieval,
            out_of_domain=out_of_domain,
            view=self.view,
        )

    def answer(
        self,
        retrieved: Retrieved[Asked],
        ks: Sequence[int],
        alter: "Callable[[Image.Image], Image.Image] | None" = None,
    ) -> list[list[Reply]]:
        """Answer retrieved questions after each of several numbers of contexts; see `rag.answering.answer`.

        Raises
        ------
        TitrateError
            If the system was closed, or opened before this process was forked.
        """
        self.index.check_usable()
        return answer(self.mllm, self.prompt, retrieved, ks, alter)


def light_fingerprints(
    manifest: Manifest, prompt: PromptTemplate, retrieval: RetrievalMode, view: ImageView | None
) -> dict[str, str]:
    """Of everything that an answer depends on, but for the model: known before any model is loaded."""
    return {
        "encoder": manifest.encoder_fingerprint,
        "index": manifest.fingerprint,
        "prompt": prompt.fingerprint,
        "retrieval": retrieval_fingerprint(retrieval),
        "view": hash_json([asdict(view or manifest.view), DECODING_VERSION]),
        "generation": generation_fingerprint(),
    }
