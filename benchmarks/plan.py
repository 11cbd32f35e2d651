"""How fast the order programme is solved: cuts against the written-out programme, in one run; growth and memory.

    python -m benchmarks.plan [--scenario 2-h20-july-2025] [--written 200 500 1000] [--cuts 2000 10000 50000]

Futures are those of a shipped scenario, each order its own lot. Both solve the same programme with the same CVaR
bound, half-way between the least attainable and that of the risk-neutral plan; their optima are printed, and must agree
to 1e-4 (the gap asked of the cuts), or the run stops. Times are CPU time of this process, one thread. The written-out
programme's time at N = 2,000 is extrapolated by the growth it shows in this very run.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
from collections.abc import Callable
from typing import TypeVar

from planner.futures.arrays import Futures
from planner.futures.sample import draw_prospects
from planner.optimise.lp.extensive_form import monolithic
from planner.optimise.lp.formulation import Formulation
from planner.sampling.seeds import root_of
from planner.scenario.load import load
from planner.sizing import capacities

Result = TypeVar("Result")

GAP = 1e-4
LEVEL = 0.9


def main() -> None:
    options = _options()
    most = max(*options.written, *options.cuts)
    futures = _futures(options.scenario, most)
    print(f"{options.scenario}: pools, sources, rentals, months = {_shape(futures)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; CPU seconds, one thread")
    print(f"{'N':>7} {'written out':>12} {'rows':>9} {'cuts':>7} {'rounds':>7} {'gap':>8} {'ratio':>6} {'GB':>5}")
    bound = _bound(futures.take(slice(0, min(options.written))))
    measured = [_side_by_side(futures.take(slice(0, n)), bound) for n in options.written]
    for n in options.cuts:
        took, found = _timed(lambda n=n: Formulation(futures.take(slice(0, n))).solve(LEVEL, bound, gap=GAP))
        print(
            f"{n:>7,} {_extrapolated(options.written, measured, n):>12} {'-':>9} {took:>7.2f} {found.rounds:>7}"
            f" {found.gap:>8.1e} {'':>6} {_peak_gb():>5.2f}"
        )


def _side_by_side(futures: Futures, bound: float) -> float:
    """One row: both ways on the same futures; the CPU seconds of the written-out programme."""
    took_cuts, found = _timed(lambda: Formulation(futures).solve(LEVEL, bound, gap=GAP))
    took_whole, whole = _timed(lambda: monolithic(futures, LEVEL, bound))
    difference = abs(found.expected_cost - whole.expected_cost) / whole.expected_cost
    if difference > GAP:
        raise SystemExit(f"the optima differ by {difference:.1e}: a time would mean nothing")
    print(
        f"{futures.count:>7,} {took_whole:>12.2f} {whole.rows:>9,} {took_cuts:>7.2f} {found.rounds:>7}"
        f" {found.gap:>8.1e} {took_whole / took_cuts:>6.1f} {_peak_gb():>5.2f}"
    )
    return took_whole


def _bound(futures: Futures) -> float:
    """A CVaR bound that binds and can be kept, at every N: taken on the fewest futures, with room."""
    formulation = Formulation(futures)
    least = formulation.solve(LEVEL, 0.0, gap=1e-3).shortfall_cvar
    most = formulation.solve(gap=1e-3).shortfall_cvar
    return least + 0.5 * (most - least)


def _extrapolated(counts: list[int], seconds: list[float], n: int) -> str:
    """Seconds at ``n`` by the power law through the first and the last count measured."""
    if len(counts) < 2:
        return "-"
    power = math.log(seconds[-1] / seconds[0]) / math.log(counts[-1] / counts[0])
    return f"~{seconds[-1] * (n / counts[-1]) ** power:,.0f}"


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _futures(name: str, count: int) -> Futures:
    scenario = load(name).scenario
    root = root_of(scenario.seed, "optimise")
    return draw_prospects(scenario, capacities(scenario), root, count).futures


def _shape(futures: Futures) -> str:
    sizes = (len(futures.pools), len(futures.purchases), len(futures.rentals), futures.months)
    return ", ".join(map(str, sizes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenario", default="2-h20-july-2025")
    parser.add_argument("--written", type=int, nargs="+", default=[200, 500, 1000])
    parser.add_argument("--cuts", type=int, nargs="+", default=[2000, 10000])
    return parser.parse_args()


if __name__ == "__main__":
    main()
