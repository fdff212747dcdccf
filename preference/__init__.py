"""Less over-reliance: where contexts misled the model, preference pairs made of that, and training on them."""

from preference.mining import Mined, mine_pairs
from preference.noise import Dose, Noise
from preference.pair_files import Skipped, read_pairs, write_pairs
from preference.pairs import PreferencePair
from preference.processes import is_main_process
from preference.regions import Evidence, locate_evidence, noise_regions, read_regions
from preference.reliance import Reliance, Share, format_reliance, measure_reliance
from preference.report import Evaluation, TrainingReport
from preference.settings import TrainingSettings
from preference.training import train_adapter
from preference.weights import weigh

__all__ = [
    "Dose",
    "Evaluation",
    "Evidence",
    "Mined",
    "Noise",
    "PreferencePair",
    "Reliance",
    "Share",
    "Skipped",
    "TrainingReport",
    "TrainingSettings",
    "format_reliance",
    "is_main_process",
    "locate_evidence",
    "measure_reliance",
    "mine_pairs",
    "noise_regions",
    "read_pairs",
    "read_regions",
    "train_adapter",
    "weigh",
    "write_pairs",
]
