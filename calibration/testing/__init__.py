"""Hypotheses about risks and their tests: p-values, procedures that hold delta over all of them, the prior.

May import `calibration.checks`, `outcome_table`, `policies` and `units`.
"""
