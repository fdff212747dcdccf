"""Images and reports become embeddings in one collection per domain, with a classifier that knows the domains."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
