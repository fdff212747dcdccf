"""placeholder"""

from pathlib import Path


def check_model_files(name: str, *, adapter: Path | None = None, dtype: str | None = None) -> None:
    """Nothing."""
