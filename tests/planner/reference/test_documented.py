"""docs/data.md says what ships: its table is held against the files."""

import re
from pathlib import Path

import executor.reference
import planner.reference
from planner.reference.traces import trace_names
from tools.trace_catalogue import catalogue

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def test_each_table_has_the_documented_number_of_rows():
    documented = dict(re.findall(r"^\| `([a-z_]+\.csv)` \| (\d+) \|", PAGE, flags=re.M))
    folders = (executor.reference.SHIPPED, planner.reference.SHIPPED)
    tables = {path.name: path for folder in folders for path in folder.glob("*.csv")}
    assert set(documented) == set(tables)
    for name, rows in documented.items():
        lines = tables[name].read_text(encoding="utf-8").splitlines()
        assert len(lines) - 1 == int(rows), name


def test_every_trace_and_whom_to_name_is_documented():
    for name in trace_names():
        assert f"`{name}`" in PAGE or f"`{name.removeprefix('servegen')}`" in PAGE
    for entry in catalogue():
        assert entry.origin.attribution.split(" (")[0] in PAGE
        assert entry.origin.licence in PAGE
