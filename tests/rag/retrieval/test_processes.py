"""A pipeline in several processes and threads: it answers, or says that it cannot; it never waits for ever."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from indexing import Encoder, Index
from rag import Answer, Pipeline, TransformersMLLM, answer_json
from tests.rag.small import pipeline_of, query_image
from titrate import TitrateError

LONGEST_S = 60


OPENED: list[Pipeline] = []


def ask_opened(image: Path) -> Answer:
    return OPENED[-1].ask(image, "Is it?", ["yes", "no"])


def in_a_forked_process(action: Callable[[], object]) -> str:
    """What an action says in a child that was forked here: its error, or ``"done"``."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            action()
            said = "done"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(LONGEST_S)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    signal.alarm(0)
    os.waitpid(child, 0)
    return said or "hung"


@pytest.fixture
def pipeline(small: Index, encoder: Encoder, tiny: TransformersMLLM) -> Pipeline:
    return pipeline_of(small, encoder, tiny, k=1)


def test_a_forked_process_is_told_to_open_its_own(pipeline: Pipeline, samples: Path) -> None:
    image = query_image(samples)
    asked = answer_json(pipeline.ask(image, "Is it?", ["yes", "no"]), with_prompt=True)
    for use in (
        lambda: pipeline.ask(image, "Is it?", ["yes", "no"]),
        lambda: pipeline.system.index.patients(),
        lambda: pipeline.system.index.copies([bytes(32)]),
    ):
        said = in_a_forked_process(use)
        assert said.startswith("TitrateError: ") and "opened before this process was forked" in said
    assert in_a_forked_process(pipeline.system.index.close) == "done"
    assert answer_json(pipeline.ask(image, "Is it?", ["yes", "no"]), with_prompt=True) == asked, (
        "a child's close is its own"
    )


def test_a_pool_of_forked_workers_ends(pipeline: Pipeline, samples: Path) -> None:
    """As a program that knows nothing of this would begin: the first answer, the error, comes back to it."""
    OPENED.append(pipeline)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        asked = pool.apply_async(ask_opened, (query_image(samples),))
        with pytest.raises(TitrateError, match="opened before this process was forked"):
            asked.get(LONGEST_S)


def test_a_closed_pipeline_says_so(small_folder: Path, encoder: Encoder, tiny: TransformersMLLM, samples: Path) -> None:
    index = Index.open(small_folder)
    pipeline = pipeline_of(index, encoder, tiny, k=1)
    index.close()
    for use in (lambda: pipeline.ask(query_image(samples), "Is it?", ["yes", "no"]), index.has_unnamed_records):
        with pytest.raises(TitrateError, match=r"index .* was closed; open it again"):
            use()
    index.close()


def test_eight_threads_answer_as_one_does(pipeline: Pipeline, samples: Path) -> None:
    questions = [f"Is it number {number}?" for number in range(24)]

    def ask(question: str) -> object:
        return answer_json(pipeline.ask(query_image(samples), question, ["yes", "no"]), with_prompt=True)

    alone = [ask(question) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, questions)) == alone
