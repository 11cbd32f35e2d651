"""The house: who may know whom, what starts light, and files that are one noun (see also test_house.py)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("waferlag", "planner", "executor", "db", "dashboard")
HEAVY = (
    "torch",
    "triton",
    "sqlalchemy",
    "alembic",
    "streamlit",
    "altair",
    "scipy",
    "numpy",
    "simpy",
    "highspy",
    "pyarrow",
)
NO_NOUNS = {"utils", "util", "helpers", "helper", "common", "misc"}


def modules() -> list[Path]:
    """Every Python file of the packages, from the root on."""
    return [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_imports_run_one_way():
    found = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-1000:]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["plan", "--help"]])
def test_the_command_line_starts_without_heavy_libraries(words):
    script = (
        "import sys\n"
        f"sys.argv = ['waferlag', *{words!r}]\n"
        "from waferlag.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr


def test_every_file_is_a_noun():
    assert [str(path) for path in modules() if set(path.with_suffix("").parts) & NO_NOUNS] == []


def test_tests_mirror_the_tree_without_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    known = {package: (ROOT / package) for package in PACKAGES}
    for name, folder in known.items():
        assert folder.is_dir()
        assert (ROOT / "tests" / name).is_dir(), f"{name} has no tests"


def test_no_file_of_the_repository_is_larger_than_a_megabyte():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing says which files are the repository's")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert [str(path) for path in paths if path.is_file() and path.stat().st_size > 1_000_000] == []
