"""The serial chain that the benchmark gives to a peer."""

import importlib

from benchmarks import chain


def test_the_hand_written_chain_serves_every_unit():
    assert chain.by_hand(3) == chain.by_hand(6) == 10_800


def test_where_the_peer_is_missing_one_line_says_so(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    (line,) = chain.chain_rows()
    assert "\n" not in line
    assert line.startswith("SupplyNetPy is not installed here (No module named 'SupplyNetPy.Components'; extra bench)")
