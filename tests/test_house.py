"""The rules of the house: arrows run one way, packages name what is public, nothing of ours runs a stranger's code."""

import ast
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
FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec"}
FORBIDDEN_KEYWORDS = {"trust_remote_code": True, "allow_pickle": True, "weights_only": False}


def unsafe(source: str) -> list[str]:
    """Name each use of pickle, eval, exec, an unguarded torch.load, or code from a model's repository."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            found += [f"{key}={value}" for key, value in FORBIDDEN_KEYWORDS.items() if keywords.get(key) is value]
            if name in FORBIDDEN_CALLS or (name == "torch.load" and keywords.get("weights_only") is not True):
                found.append(name)
    return found


def sources(repository: Path) -> list[Path]:
    """List the Python files that are ours."""
    folders = [repository / name for name in (*PACKAGES, "commands", "samples/build", "tests", "benchmarks")]
    return [repository / "cli.py", *(path for folder in folders for path in sorted(folder.rglob("*.py")))]


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
    assert set(settings["tool"]["setuptools"]["packages"]) == {*PACKAGES, "commands"}
    assert settings["project"]["version"] == importlib.import_module("titrate").__version__


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import dump",
        "import a, dill.session",
        "eval('1')",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=flag)",
        "open_model(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_unsafe_code_is_recognised(source: str) -> None:
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)", "import pickles"],
)
def test_safe_code_passes(source: str) -> None:
    assert unsafe(source) == []


def test_nothing_of_ours_runs_a_strangers_code(repository: Path) -> None:
    found = {str(path.relative_to(repository)): unsafe(path.read_text()) for path in sources(repository)}
    assert {path: uses for path, uses in found.items() if uses} == {}
