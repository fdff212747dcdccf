"""How many contexts to read, with a guarantee: outcome tables, p-values, policies and certificates.

Needs numpy and scipy only; knows nothing of images, models or indexes.
"""

from calibration.calibrate import certify
from calibration.certificate import FINGERPRINTS, Certificate
from calibration.design import Design
from calibration.grid import GridError, PolicyGrid, Readings
from calibration.overlap import check_no_overlap, hash_patient
from calibration.policies import Policy
from calibration.prior import PRIORS, Prior, prefer_prior, uniform_prior
from calibration.procedures import PROCEDURES, bonferroni, holm, neighbour_transitions, sequential_graphical
from calibration.pvalues import P_VALUES, binomial_p_value, hoeffding_bentkus_p_value, wsr_log_capital, wsr_p_value
from calibration.results import DomainResult
from calibration.sequential import SequentialCertifier
from calibration.table import OutcomeTable
from calibration.units import mean_per_unit

__all__ = [
    "FINGERPRINTS",
    "PRIORS",
    "PROCEDURES",
    "P_VALUES",
    "Certificate",
    "Design",
    "DomainResult",
    "GridError",
    "OutcomeTable",
    "Policy",
    "PolicyGrid",
    "Prior",
    "Readings",
    "SequentialCertifier",
    "binomial_p_value",
    "bonferroni",
    "certify",
    "check_no_overlap",
    "hash_patient",
    "hoeffding_bentkus_p_value",
    "holm",
    "mean_per_unit",
    "neighbour_transitions",
    "prefer_prior",
    "sequential_graphical",
    "uniform_prior",
    "wsr_log_capital",
    "wsr_p_value",
]
