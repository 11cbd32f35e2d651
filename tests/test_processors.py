"""The same scenario gives the same bytes on every processor, tried by computing as other processors would."""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.processors import FEW, MANY, PROBE, SWITCHED
from tools.transcripts import transcripts

ROOT = Path(__file__).resolve().parent.parent
LONG = bool(os.environ.get("WAFERLAG_TEST_SOAK"))
"""Every setting, and July's scenario too: with `make soak`."""
SETTINGS = MANY if LONG else FEW


def run(words: list[str], setting: dict[str, str], folder: Path, cores: set[int] | None = None) -> str:
    """What a command prints in a process of its own, whose replays are its own too."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "NPY_DIS", "GLIBC"))},
        **setting,
        "WAFERLAG_GOODPUT_FOLDER": str(folder / "goodput"),
    }
    bound = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=folder, preexec_fn=bound)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Bytes of ``plan --json`` and what stdout says, under a setting; each made once."""

    @cache
    def plan(scenario: str, setting: str, cores: int = 2) -> tuple[bytes, str]:
        folder = tmp_path_factory.mktemp("plan")
        words = [sys.executable, "-m", "waferlag", "plan", scenario, "--json", "plan.json", "--no-save", "--quiet"]
        ours = sorted(os.sched_getaffinity(0))[:cores]
        said = run(words, SETTINGS[setting], folder, set(ours))
        return (folder / "plan.json").read_bytes(), said

    return plan


@pytest.mark.parametrize("setting", [name for name in SETTINGS if SETTINGS[name]])
def test_the_settings_change_whose_code_computes(setting, tmp_path):
    """Else what follows proves nothing: BLAS and libm do round otherwise there."""
    plain, other = (
        run([sys.executable, "-c", PROBE], environment, tmp_path).split()
        for environment in (SETTINGS["as it is"], SETTINGS[setting])
    )
    has_fma = " fma " in Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else False
    if "GLIBC_TUNABLES" in SETTINGS[setting] and has_fma:
        assert plain[0] != other[0]
    if SETTINGS[setting].get("OPENBLAS_CORETYPE") == "Nehalem" and has_fma:
        assert plain[3] != other[3]


def test_numpy_leaves_its_loops_for_newer_processors_out_where_told():
    if not SWITCHED:
        pytest.skip("NumPy has no other loops for this processor")
    asked = "from numpy._core import _multiarray_umath as u; print([u.__cpu_features__[n] for n in NAMES])"
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(SWITCHED)}
    done = subprocess.run(
        [sys.executable, "-c", asked.replace("NAMES", repr(SWITCHED))], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == str([False] * len(SWITCHED)).split()


@pytest.mark.slow
@pytest.mark.parametrize("setting", [name for name in SETTINGS if SETTINGS[name]])
@pytest.mark.parametrize("scenario", ["1-quickstart", *(["2-h20-july-2025"] if LONG else [])])
def test_a_plan_has_the_same_bytes_on_every_processor(planned, scenario, setting):
    assert planned(scenario, setting) == planned(scenario, "as it is")


@pytest.mark.soak
@pytest.mark.parametrize("scenario", ["1-quickstart", "2-h20-july-2025"])
def test_a_plan_has_the_same_bytes_on_one_core_and_on_two(planned, scenario):
    assert planned(scenario, "as it is", cores=1) == planned(scenario, "as it is")


@pytest.mark.slow
def test_the_readme_shows_the_plan_that_is_printed(planned):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = next(each for each in transcripts(page) if each.command == "waferlag plan 1-quickstart")
    assert shown.renewed(planned("1-quickstart", "as it is")[1]) == shown.shown, "run `make docs`"


# -- what could make them differ ---------------------------------------------------------------------------

LIBRARY = {
    "np": {
        *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "power", "float_power", "cbrt"),
        *("hypot", "sin", "cos", "tan", "arctan", "arctan2", "arcsin", "arccos", "sinh", "cosh", "tanh"),
        *("linalg", "dot", "vdot", "inner", "matmul", "tensordot", "einsum", "convolve", "correlate", "interp"),
        *("polyfit", "cov", "corrcoef", "fft", "geomspace", "logspace"),
    },
    "math": {
        *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "pow", "cbrt", "hypot", "dist", "sumprod"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"),
        *("erf", "erfc", "gamma", "lgamma"),
    },
}
"""Functions whose last bits depend on the processor."""
DRAWS = {"standard_normal", "exponential", "standard_exponential", "standard_gamma", "lognormal"}
"""Methods of NumPy's generators that use libm."""
UNSTABLE = {"argsort", "argpartition"}
"""Which of two equals comes first depends on the processor unless ``kind="stable"``."""
ALLOWED = {
    ("db/notices.py", "**"): "two to a whole number",
    ("planner/report/language.py", "**"): "ten to a whole number, for a text",
}
OUTSIDE = ("executor/engine/", "executor/measure/", "executor/portable/")
"""The engine and its measurements, which decide nothing; and the arithmetic itself."""


def uses(tree: ast.AST):
    """(line, what) of each use of arithmetic that depends on the processor."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in LIBRARY.get(owner, ()):
                yield node.lineno, f"{owner}.{node.attr}"
            if node.attr in DRAWS:
                yield node.lineno, node.attr
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield node.lineno, "@"
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Pow) and not _of_whole(node):
            yield node.lineno, "**"
        if isinstance(node, ast.Call) and _orders_equals_freely(node):
            yield node.lineno, node.func.attr
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            for name in {name.partition(".")[0] for name in names} & {"scipy", "statistics"}:
                yield node.lineno, f"import {name}"


def _orders_equals_freely(call: ast.Call) -> bool:
    kinds = [getattr(word.value, "value", "") for word in call.keywords if word.arg == "kind"]
    return isinstance(call.func, ast.Attribute) and call.func.attr in UNSTABLE and "stable" not in kinds


def _of_whole(node: ast.AST) -> bool:
    """Whether a power is one of two whole constants."""
    sides = (getattr(node, "left", None), getattr(node, "right", None))
    return all(isinstance(side, ast.Constant) and isinstance(side.value, int) for side in sides)


def product_files():
    for package in ("planner", "executor", "waferlag", "db", "dashboard"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(OUTSIDE):
                yield name, path


def test_nothing_that_leads_to_a_decision_is_computed_by_code_that_differs_between_processors():
    """Use executor.portable instead, or say in ALLOWED why it decides nothing."""
    found = {
        (name, what): f"{name}:{line}: {what}"
        for name, path in product_files()
        for line, what in uses(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert [text for use, text in found.items() if use not in ALLOWED] == []
    assert [use for use in ALLOWED if use not in found] == [], "allowed and not used any more"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("np.exp(x)", "np.exp"),
        ("math.log(x)", "math.log"),
        ("x ** 0.5", "**"),
        ("a @ b", "@"),
        ("np.argsort(x)", "argsort"),
        ("from scipy import special", "import scipy"),
        ("rng.standard_normal(3)", "standard_normal"),
    ],
)
def test_such_code_is_seen(code, what):
    assert [found for _, found in uses(ast.parse(code))] == [what]


def test_code_that_is_the_same_everywhere_is_not():
    fine = "2 ** 30\nnp.sqrt(x) * y + z\nnp.argsort(x, kind='stable')\nmath.sqrt(x)\nnp.floor(x)\nmath.frexp(x)\n"
    assert list(uses(ast.parse(fine))) == []


# -- names made of what was asked --------------------------------------------------------------------------

HASHES = {
    "executor/estimate/keys.py": "what was asked: set-ups, rows, lengths of a trace in six digits; nothing fitted",
    "planner/scenario/stored.py": "a scenario as it is written",
    "planner/sampling/streams.py": "names of random streams",
    "planner/optimise/policies/rolling_horizon.py": "whole numbers of GPUs: two rules that order alike are one",
    "executor/scheduler/scheduler.py": "prefix blocks of tokens",
    "db/identity.py": "a scenario, its version and its seed",
    "db/artefacts.py": "bytes of a file",
}
"""Every file that makes a hash, and of what."""


def test_every_hash_is_made_of_what_was_given_and_not_of_what_was_computed():
    found = {name for name, path in product_files() if "hashlib" in path.read_text(encoding="utf-8")}
    assert found == set(HASHES), "say in HASHES of what a new hash is made"
