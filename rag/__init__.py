"""A question about a medical image becomes an answer that cites the reports of similar cases."""

from rag.answer import Answer, Context
from rag.evaluation import Baselines, Row, evaluate, format_rows
from rag.leakage import patients_elsewhere
from rag.losses import Loss, affirmed, finding_loss, load_loss, token_loss
from rag.metrics import Metrics, bootstrap_interval, measure
from rag.mllm import MLLM, NestedPrompt, Prompt, probabilities
from rag.openai_mllm import OpenAIMLLM
from rag.opening import open_mllm
from rag.outcome_cache import Outcome, OutcomeCache
from rag.outcomes import Outcomes, score_outcomes
from rag.page import answer_json, answer_page
from rag.pipeline import Pipeline, Unfamiliar
from rag.postprocessor import PolicyPostprocessor
from rag.prompt import PromptTemplate
from rag.questions import Question, closed_questions, known_questions, questions_fingerprint, read_questions
from rag.report import write_report
from rag.retrieval_evaluation import RetrievalRow, evaluate_retrieval, format_retrieval
from rag.retriever import MODES, RetrievalMode, SimilarCaseRetriever
from rag.routing import Retrieved, retrieve
from rag.transformers_mllm import TransformersMLLM

__all__ = [
    "MLLM",
    "MODES",
    "Answer",
    "Baselines",
    "Context",
    "Loss",
    "Metrics",
    "NestedPrompt",
    "OpenAIMLLM",
    "Outcome",
    "OutcomeCache",
    "Outcomes",
    "Pipeline",
    "PolicyPostprocessor",
    "Prompt",
    "PromptTemplate",
    "Question",
    "RetrievalMode",
    "RetrievalRow",
    "Retrieved",
    "Row",
    "SimilarCaseRetriever",
    "TransformersMLLM",
    "Unfamiliar",
    "affirmed",
    "answer_json",
    "answer_page",
    "bootstrap_interval",
    "closed_questions",
    "evaluate",
    "evaluate_retrieval",
    "finding_loss",
    "format_retrieval",
    "format_rows",
    "known_questions",
    "load_loss",
    "measure",
    "open_mllm",
    "patients_elsewhere",
    "probabilities",
    "questions_fingerprint",
    "read_questions",
    "retrieve",
    "score_outcomes",
    "token_loss",
    "write_report",
]
