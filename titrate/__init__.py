"""What every package of Titrate shares: errors, careful file writing, hashes, addresses of servers, settings."""

from titrate.errors import InputError, NothingCertifiedError, OutOfDomainError, TitrateError, TitrateWarning
from titrate.files import hash_bytes, hash_files, hash_json, read_jsonl, write_atomic
from titrate.parallel import in_parallel
from titrate.remote import (
    TRANSIENT_STATUSES,
    TransientError,
    check_address,
    check_api_key,
    is_address,
    is_private,
    retry,
    stated_reason,
)
from titrate.settings import read_settings
from titrate.text import first_line, one_line, quote, short_name, shorten

__all__ = [
    "TRANSIENT_STATUSES",
    "InputError",
    "NothingCertifiedError",
    "OutOfDomainError",
    "TitrateError",
    "TitrateWarning",
    "TransientError",
    "__version__",
    "check_address",
    "check_api_key",
    "first_line",
    "hash_bytes",
    "hash_files",
    "hash_json",
    "in_parallel",
    "is_address",
    "is_private",
    "one_line",
    "quote",
    "read_jsonl",
    "read_settings",
    "retry",
    "short_name",
    "shorten",
    "stated_reason",
    "write_atomic",
]

__version__ = "0.1.0"
