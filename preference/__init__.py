"""Less over-reliance: where contexts misled the model, preference pairs made of that, and training on them."""

from preference.mining import Mined, mine_pairs
from preference.pairs import PreferencePair, read_pairs, write_pairs
from preference.reliance import Reliance, Share, format_reliance, measure_reliance
from preference.training import TrainingReport, train_adapter

__all__ = [
    "Mined",
    "PreferencePair",
    "Reliance",
    "Share",
    "TrainingReport",
    "format_reliance",
    "measure_reliance",
    "mine_pairs",
    "read_pairs",
    "train_adapter",
    "write_pairs",
]
