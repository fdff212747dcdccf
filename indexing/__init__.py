"""Images and reports become embeddings in one collection per domain, with a classifier that knows the domains."""

from indexing.build import BuildReport, CorpusReport, build_index, check_corpus
from indexing.conditions import Condition, Exclusion
from indexing.corpora import open_corpus
from indexing.domains import DomainClassifier
from indexing.edge import EdgeStore
from indexing.encoder import Encoder
from indexing.images import Decoding, load_image, resolve_image
from indexing.index import Index
from indexing.info import IndexInfo, index_info
from indexing.llama_store import LlamaStore, record_node
from indexing.manifest import Manifest
from indexing.novelty import NoveltyDetector
from indexing.reading import Reading
from indexing.records import Corpus, Record, SkippedRecord
from indexing.store import Match, Point, VectorStore
from indexing.store_settings import StoreSettings
from indexing.zero_shot import default_prompts

__all__ = [
    "BuildReport",
    "Condition",
    "Corpus",
    "CorpusReport",
    "Decoding",
    "DomainClassifier",
    "EdgeStore",
    "Encoder",
    "Exclusion",
    "Index",
    "IndexInfo",
    "LlamaStore",
    "Manifest",
    "Match",
    "NoveltyDetector",
    "Point",
    "Reading",
    "Record",
    "SkippedRecord",
    "StoreSettings",
    "VectorStore",
    "build_index",
    "check_corpus",
    "default_prompts",
    "index_info",
    "load_image",
    "open_corpus",
    "record_node",
    "resolve_image",
]
