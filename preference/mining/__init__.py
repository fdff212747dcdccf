"""Where contexts misled the model, or should have helped: measures of reliance, and preference pairs.

May import `preference.pairs` and `preference.noise`.
"""
