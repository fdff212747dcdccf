"""What every package of Titrate shares: errors, careful file writing, hashes, addresses of servers, settings."""

from titrate.errors import InputError, NothingCertifiedError, OutOfDomainError, TitrateError, TitrateWarning
from titrate.files import hash_bytes, hash_files, hash_json, read_jsonl, write_atomic
from titrate.parallel import in_parallel
from titrate.remote import check_address, check_api_key, is_address, is_private
from titrate.settings import read_settings
from titrate.text import one_line, shorten

__all__ = [
    "InputError",
    "NothingCertifiedError",
    "OutOfDomainError",
    "TitrateError",
    "TitrateWarning",
    "__version__",
    "check_address",
    "check_api_key",
    "hash_bytes",
    "hash_files",
    "hash_json",
    "in_parallel",
    "is_address",
    "is_private",
    "one_line",
    "read_jsonl",
    "read_settings",
    "shorten",
    "write_atomic",
]

__version__ = "0.1.0"
