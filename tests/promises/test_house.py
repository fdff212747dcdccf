"""The rules of the house: arrows run one way, packages name what is public and nothing else."""

import importlib
import inspect
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ("titrate", "indexing", "calibration", "rag", "preference")


def is_public(package: ModuleType, name: str) -> bool:
    return not name.startswith("_") and not inspect.ismodule(vars(package)[name])


def test_imports_run_one_way(repository: Path) -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command, "lint-imports is missing from this environment; run make test"
    result = subprocess.run([command, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_package_names_its_public_objects(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__all__, f"{name} names nothing"
    assert len(set(package.__all__)) == len(package.__all__)
    for public in package.__all__:
        value = getattr(package, public)
        assert not inspect.ismodule(value), f"{name}.{public} is a module"
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"
    assert {public for public in vars(package) if is_public(package, public)} <= set(package.__all__)


def test_pyproject_lists_the_packages_and_the_version(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text())
    rooms = {
        ".".join(path.parent.relative_to(repository).parts)
        for name in (*PACKAGES, "commands")
        for path in (repository / name).rglob("__init__.py")
    }
    assert set(settings["tool"]["setuptools"]["packages"]) == rooms
    assert settings["project"]["version"] == importlib.import_module("titrate").__version__
