"""Retrieval judged by a question file, without a model."""

from rag.evaluation.retrieval import RetrievalScore, evaluate_retrieval
from rag.outcomes.run import QuestionOptions, ShowProgress, no_progress
from rag.outcomes.splits import known_questions
from rag.questions import closed_questions, read_questions
from rag.system import SystemOptions


def evaluate_retrieval_file(
    system: SystemOptions, questions: QuestionOptions, split: str, *, progress: ShowProgress = no_progress
) -> list[RetrievalScore]:
    """Open an index and its encoder, and judge what each mode retrieves for the closed questions of a split.

    Raises
    ------
    InputError
        If the index or the encoder cannot be opened, or as `evaluate_retrieval`.
    """
    system.check()
    asked = closed_questions(read_questions(questions.path, root=questions.root, splits=[split]), questions.path)
    from indexing import Encoder, Index, encoder_to_load  # open_clip takes seconds to import

    with Index.open(system.index, system.api_key, system.url) as index, progress("retrieving") as show:
        encoder = Encoder.open(encoder_to_load(system.encoder, index.manifest.encoder), system.device)
        known = known_questions(questions.path, questions.root, asked)
        return evaluate_retrieval(index, encoder, asked, known, view=system.view, progress=show)
