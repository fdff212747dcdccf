"""A question about a medical image becomes an answer that cites the reports of similar cases."""

from rag.answer import Answer, Context
from rag.evaluation import Baselines, Row, evaluate, format_rows
from rag.metrics import Metrics, bootstrap_interval, measure
from rag.mllm import MLLM, Prompt, probabilities
from rag.outcomes import Outcomes, Retrieved, retrieve, score_outcomes
from rag.page import answer_json, answer_page
from rag.pipeline import Pipeline
from rag.postprocessor import PolicyPostprocessor
from rag.prompt import PromptTemplate
from rag.questions import Question, closed_questions, known_questions, questions_fingerprint, read_questions
from rag.retriever import SimilarCaseRetriever
from rag.transformers_mllm import TransformersMLLM

__all__ = [
    "MLLM",
    "Answer",
    "Baselines",
    "Context",
    "Metrics",
    "Outcomes",
    "Pipeline",
    "PolicyPostprocessor",
    "Prompt",
    "PromptTemplate",
    "Question",
    "Retrieved",
    "Row",
    "SimilarCaseRetriever",
    "TransformersMLLM",
    "answer_json",
    "answer_page",
    "bootstrap_interval",
    "closed_questions",
    "evaluate",
    "format_rows",
    "known_questions",
    "measure",
    "probabilities",
    "questions_fingerprint",
    "read_questions",
    "retrieve",
    "score_outcomes",
]
