"""The size of rooms: no module that does not fit in one's head, no room in which nothing can be found.

`lint-imports` holds the arrows between rooms; this holds how much stands in one. Run by `make lint`.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

MOST_LINES = 300
MOST_MODULES = 14
"""Beside each other in one folder, `__init__` not counted."""


def complaints(modules: dict[str, int]) -> list[str]:
    """What is too large, a line each.

    Parameters
    ----------
    modules
        Number of lines of each module, by its path with forward slashes.

    >>> complaints({"rag/pipeline.py": 301, "rag/prompt.py": 300})
    ['rag/pipeline.py has 301 lines; the most is 300: which second thing moved in?']
    """
    found = [
        f"{path} has {lines} lines; the most is {MOST_LINES}: which second thing moved in?"
        for path, lines in sorted(modules.items())
        if lines > MOST_LINES
    ]
    beside = [PurePosixPath(path) for path in modules]
    rooms = Counter(str(path.parent) for path in beside if path.name not in ("__init__.py", "conftest.py"))
    return found + [
        f"{room} has {count} modules beside each other; the most is {MOST_MODULES}: make rooms"
        for room, count in sorted(rooms.items())
        if count > MOST_MODULES
    ]


def main() -> int:
    """Check every module that git knows; 1 if anything is too large."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
                            capture_output=True, text=True, check=True)  # fmt: skip
    paths = [path for path in listed.stdout.splitlines() if Path(path).exists()]
    found = complaints({path: len(Path(path).read_text(encoding="utf-8").splitlines()) for path in paths})
    print("\n".join(found) or f"{len(paths)} modules, none too large")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
