"""What every package of Titrate shares: the exception tree and careful file writing."""

from titrate.errors import InputError, NothingCertifiedError, TitrateError, TitrateWarning, UnfamiliarImageError

__all__ = [
    "InputError",
    "NothingCertifiedError",
    "TitrateError",
    "TitrateWarning",
    "UnfamiliarImageError",
    "__version__",
]

__version__ = "0.1.0"
