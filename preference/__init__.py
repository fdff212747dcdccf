"""Less over-reliance: where contexts misled the model, preference pairs made of that, and training on them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
