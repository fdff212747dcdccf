"""Measures how far a model over-relies on contexts, makes preference pairs of its faults, and trains it on them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
