"""The calibration report: one HTML page with plots and words.

May import nothing of `rag`; it reads certificates and outcome tables.
"""
