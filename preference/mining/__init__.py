"""Finds where contexts misled the model or should have helped it: measures of reliance, and preference pairs.

May import `preference.pairs` and `preference.noise`.
"""
