"""Opening a model by the name that the user gives: a folder, a name on the model hub, or a server's address."""

from pathlib import Path

from rag.models.base import MLLM
from rag.models.checks import check_model_files
from rag.models.loading.options import LoadingOptions
from titrate import is_address


def open_mllm(
    name: str,
    *,
    adapter: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    loading: LoadingOptions | None = None,
    api_key: str | None = None,
) -> MLLM:
    """Load a model, or connect to the server that runs it.

    Parameters
    ----------
    name
        A folder, a name on the model hub, or ``http://HOST:PORT/v1#MODEL`` of an OpenAI-compatible server.
    adapter, device, dtype, loading
        As for `TransformersMLLM.open`. A server chooses these itself, so that none but the device may be given with
        one; that is then used for nothing here.
    api_key
        The server's key, if it wants one; ignored for other models.

    Raises
    ------
    InputError
        If there is no such model, or an adapter, dtype or another way to load is given with a server.
    TitrateError
        If the server fails.
    """
    folder = None if adapter is None else Path(adapter)
    check_model_files(name, adapter=folder, dtype=dtype, loading=loading)
    if is_address(name):
        from rag.models.openai import OpenAIMLLM

        return OpenAIMLLM.open(name, api_key=api_key)
    from rag.models.huggingface import TransformersMLLM  # transformers takes seconds to import

    return TransformersMLLM.open(name, adapter=folder, device=device, dtype=dtype, loading=loading)
