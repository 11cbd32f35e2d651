"""The house stays lean: nothing that only tests reach, no import loops, a small root, no file too long to read."""

import ast
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("planner", "executor", "db", "dashboard", "waferlag")
USERS = (*PRODUCT, "tools", "benchmarks")
"""Where a use of a definition counts."""
LONGEST = 600
"""Lines of a file that one reads at a sitting."""
REGISTERED = {
    "app.command": "Typer runs it",
    "app.callback": "Typer runs it",
    "field_validator": "pydantic runs it",
    "model_validator": "pydantic runs it",
    "compiles": "SQLAlchemy runs it",
}
"""Decorators that hand a function to a framework."""
HOOKS = {
    "process_bind_param": "SQLAlchemy asks a column type for it",
    "process_result_value": "SQLAlchemy asks a column type for it",
    "down_revision": "Alembic reads it from a migration",
    "downgrade": "Alembic calls it to go back",
    "settings_customise_sources": "pydantic-settings asks for it",
    "construct_object": "PyYAML's loader calls it",
    "construct_mapping": "PyYAML's loader calls it",
    "compose_node": "PyYAML's loader calls it",
    "redirect_request": "urllib calls it",
    "do_open": "urllib calls it",
}
"""Names that a framework looks for."""


@dataclass(frozen=True)
class Definition:
    """A function, class, constant or method, and the lines it stands on."""

    path: str
    name: str
    first: int
    last: int

    def holds(self, path: str, line: int) -> bool:
        return path == self.path and self.first <= line <= self.last


def trees(root: Path, packages: tuple[str, ...]) -> dict[str, ast.Module]:
    """Syntax tree of every Python file, by its path from the root."""
    return {
        path.relative_to(root).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }


def defined(path: str, tree: ast.Module) -> Iterator[Definition]:
    """Top-level functions, classes and constants, and the methods of top-level classes; no dunder names."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else []
        for each in (node, *(part for part in inside if isinstance(part, ast.FunctionDef))):
            for name in names_of(each):
                if not name.startswith("__"):
                    yield Definition(path, name, each.lineno, each.end_lineno or each.lineno)


def names_of(node: ast.stmt) -> list[str]:
    """What a statement defines; nothing where a framework takes it from there."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        taken = (ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list)
        return [] if set(taken) & set(REGISTERED) else [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets += [node.target] if isinstance(node, ast.AnnAssign) else []
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def used(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that are read, also as attributes, and their lines; strings, imports and ``__all__`` are no use."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr, node.lineno
        yield from used(node)


def unreached(
    root: Path, product: tuple[str, ...], users: tuple[str, ...], hooks: Collection[str] = ()
) -> list[Definition]:
    """Definitions of the product whose name stands nowhere but in themselves and in other unreached ones.

    By name alone: one that shares its name with something used is missed.
    """
    parsed = trees(root, users)
    own = [one for path, tree in parsed.items() if path.split("/")[0] in product for one in defined(path, tree)]
    left = [one for one in own if one.name not in hooks]
    uses: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path, tree in parsed.items():
        for name, line in used(tree):
            uses[name].append((path, line))
    found: list[Definition] = []
    while True:
        fresh = [one for one in left if all(any(dead.holds(*use) for dead in (one, *found)) for use in uses[one.name])]
        if not fresh:
            return found
        found += fresh
        left = [one for one in left if one not in fresh]


def loop_of(root: Path, packages: tuple[str, ...]) -> list[str]:
    """Modules that import one another in a ring; imports in functions and for types count. Empty: there is none."""
    parsed = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree
        for path, tree in trees(root, packages).items()
    }
    graph: dict[str, set[str]] = {module: set() for module in parsed}
    for module, tree in parsed.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names} & set(parsed)
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                whole = {node.module} if inner - set(parsed) else set()
                graph[module] |= (inner | whole) & set(parsed)
        graph[module].discard(module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_definition_is_reached_only_from_tests():
    found = unreached(ROOT, PRODUCT, USERS, HOOKS)
    assert [f"{one.path}:{one.first} {one.name}" for one in found] == []


def test_every_hook_is_still_there():
    names = {one.name for path, tree in trees(ROOT, PRODUCT).items() for one in defined(path, tree)}
    assert sorted(set(HOOKS) - names) == [], "no exception is needed any more"


def test_no_import_loops():
    assert loop_of(ROOT, (*PRODUCT, "tools")) == []


def test_the_planners_root_is_small():
    assert len(list((ROOT / "planner").glob("*.py"))) <= 10


def test_no_file_is_long():
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for package in (*PRODUCT, "tools")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_the_finder_sees_what_nothing_but_itself_and_re_exports_name(tmp_path):
    write(
        tmp_path,
        {
            "shop/__init__.py": "from shop.till import alone, sold\n__all__ = ['alone', 'sold']\n",
            "shop/till.py": (
                "UNREAD = 1\nREAD = 2\n"
                "def sold():\n    return READ\n"
                "def alone(n):\n    return alone(n - 1) + deeper()\n"
                "def deeper():\n    return 0\n"
                "def named():\n    return 0\n"
                "@app.command('open')\ndef opened():\n    return named\n"
                "class Till:\n    def count(self):\n        return 1\n    def never(self):\n        return 2\n"
            ),
            "bench/run.py": "from shop import sold\nfrom shop.till import Till\nsold()\nTill().count()\n",
            "tests/test_till.py": "from shop.till import alone, UNREAD\nalone(UNREAD)\n",
        },
    )
    found = unreached(tmp_path, ("shop",), ("shop", "bench"))
    assert sorted((one.path, one.name) for one in found) == [
        ("shop/till.py", name) for name in ("UNREAD", "alone", "deeper", "never")
    ]


def test_the_finder_sees_loops_through_functions_and_types(tmp_path):
    files = {
        "shop/__init__.py": "",
        "shop/till.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shop.goods import Goods\n",
        "shop/goods.py": "def price():\n    from shop import rates\n",
        "shop/rates.py": "import math\n",
    }
    assert loop_of(write(tmp_path, files), ("shop",)) == []
    write(tmp_path, {"shop/rates.py": "import shop.till\n"})
    assert set(loop_of(tmp_path, ("shop",))) == {"shop.till", "shop.goods", "shop.rates"}
