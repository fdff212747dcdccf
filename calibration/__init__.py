"""How many contexts to read, with a guarantee: outcome tables, p-values, policies and certificates.

Needs numpy and scipy only; knows nothing of images, models or indexes.
"""

from calibration.calibrate import certify
from calibration.certificate import FINGERPRINTS, Certificate, hash_patient
from calibration.policies import FixedK, Policy, RatioCut
from calibration.procedures import PROCEDURES, bonferroni
from calibration.pvalues import P_VALUES, binomial_p_value, hoeffding_bentkus_p_value, wsr_log_capital, wsr_p_value
from calibration.results import DomainResult
from calibration.table import OutcomeTable
from calibration.units import mean_per_unit

__all__ = [
    "FINGERPRINTS",
    "PROCEDURES",
    "P_VALUES",
    "Certificate",
    "DomainResult",
    "FixedK",
    "OutcomeTable",
    "Policy",
    "RatioCut",
    "binomial_p_value",
    "bonferroni",
    "certify",
    "hash_patient",
    "hoeffding_bentkus_p_value",
    "mean_per_unit",
    "wsr_log_capital",
    "wsr_p_value",
]
