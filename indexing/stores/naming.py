"""Names of collections, and where they lie in an index folder."""

import hashlib
import re
from pathlib import Path

COLLECTIONS = "collections"


def collection_name(domain: str) -> str:
    """Name of a domain's collection: a readable slug, and a hash so that no two names, however odd, share one."""
    slug = re.sub(r"[^a-z0-9]+", "-", domain.lower()).strip("-")[:40]
    return f"{slug}-{hashlib.sha256(domain.encode()).hexdigest()[:8]}"


def collection_folder(index: Path, domain: str) -> Path:
    """Folder of a domain's collection, where the index folder holds the vectors."""
    return index / COLLECTIONS / collection_name(domain)
