"""Images and reports become embeddings in one collection per domain, with a classifier that knows the domains."""

from indexing.build import BuildReport, build_index
from indexing.domains import DomainClassifier
from indexing.edge import EdgeStore
from indexing.encoder import Encoder
from indexing.images import load_image, resolve_image
from indexing.index import Index
from indexing.manifest import Manifest
from indexing.records import Record, SkippedRecord, read_corpus
from indexing.store import Exclusion, Match, Point, VectorStore

__all__ = [
    "BuildReport",
    "DomainClassifier",
    "EdgeStore",
    "Encoder",
    "Exclusion",
    "Index",
    "Manifest",
    "Match",
    "Point",
    "Record",
    "SkippedRecord",
    "VectorStore",
    "build_index",
    "load_image",
    "read_corpus",
    "resolve_image",
]
