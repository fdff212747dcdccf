"""What every package of Titrate shares: errors, careful file writing, hashes, identity, server addresses, settings."""

from titrate.errors import (
    STOPS,
    InputError,
    NothingCertifiedError,
    NothingGainedError,
    OutOfDomainError,
    TitrateError,
    TitrateWarning,
    one_line_errors,
)
from titrate.files import hash_bytes, hash_files, hash_json, open_private, read_jsonl, write_atomic
from titrate.hub import check_complete, fetch_model, weight_files
from titrate.identity import (
    NOTHING,
    check_no_overlap,
    examination,
    hash_patient,
    independent_unit,
    normal_id,
    patient_or_study,
)
from titrate.json_fields import JsonFields
from titrate.named import check_named, note_named
from titrate.parallel import in_parallel
from titrate.patience import time_limit
from titrate.reading import open_file, parse_json, read_bytes, read_text
from titrate.remote import (
    TRANSIENT_STATUSES,
    TransientError,
    check_address,
    check_api_key,
    is_address,
    is_private,
    is_this_machine,
    retry,
    stated_reason,
)
from titrate.seeds import LARGEST_SEED, check_seed
from titrate.settings import Setting, read_settings
from titrate.spelling import END_MARKS, FULL_STOPS, folded
from titrate.text import first_line, one_line, printable, quote, short_name, shorten, unprintable

__all__ = [
    "END_MARKS",
    "FULL_STOPS",
    "LARGEST_SEED",
    "NOTHING",
    "STOPS",
    "TRANSIENT_STATUSES",
    "InputError",
    "JsonFields",
    "NothingCertifiedError",
    "NothingGainedError",
    "OutOfDomainError",
    "Setting",
    "TitrateError",
    "TitrateWarning",
    "TransientError",
    "__version__",
    "check_address",
    "check_api_key",
    "check_complete",
    "check_named",
    "check_no_overlap",
    "check_seed",
    "examination",
    "fetch_model",
    "first_line",
    "folded",
    "hash_bytes",
    "hash_files",
    "hash_json",
    "hash_patient",
    "in_parallel",
    "independent_unit",
    "is_address",
    "is_private",
    "is_this_machine",
    "normal_id",
    "note_named",
    "one_line",
    "one_line_errors",
    "open_file",
    "open_private",
    "parse_json",
    "patient_or_study",
    "printable",
    "quote",
    "read_bytes",
    "read_jsonl",
    "read_settings",
    "read_text",
    "retry",
    "short_name",
    "shorten",
    "stated_reason",
    "time_limit",
    "unprintable",
    "weight_files",
    "write_atomic",
]

__version__ = "0.1.0"
