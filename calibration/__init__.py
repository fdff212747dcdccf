"""How many contexts to read, with a guarantee: outcome tables, p-values, policies and certificates.

Needs numpy and scipy only; knows nothing of images, models or indexes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
