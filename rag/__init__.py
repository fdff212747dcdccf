"""A question about a medical image becomes an answer that cites the reports of similar cases."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
