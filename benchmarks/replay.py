"""How fast the replay is: event to event against step by step, and against vllm-sr-sim's simulator, in one run.

    python benchmarks/replay.py [TRACE] [--replicas N] [--rounds N] [--peer PYTHON]

TRACE is a file of requests (Mooncake JSONL, Azure CSV) or a shipped trace's name; without it the shipped summary of
Mooncake's conversations. Times are CPU time of one process, the least of the rounds, from requests to percentiles.
Both forms must give the same token times to 1e-9, or nothing is printed. PYTHON is the interpreter of an
environment with vllm-sr-sim; it gets the same requests, replicas and step times (W, H, slots).
"""

import argparse
import gc
import json
import subprocess
import time

import numpy as np

from executor.estimate.calibration import belief, setup_of
from executor.model.cost import Layout
from executor.replay.arrivals import Arrivals
from executor.replay.cluster import replay, replica_limits
from executor.replay.results import Replayed
from executor.steptime.batch import BatchTime, batch_time
from waferlag.workload import workload

PEER = """
import json, sys, time
from fleet_sim import CUSTOM, Fleet, FleetConfig, PoolConfig, Request
asked = json.load(sys.stdin)
gpu = CUSTOM("same", asked["W"], asked["H"], chunk=8192, blk_size=64,
             total_kv_blks=asked["blocks"], max_slots=asked["slots"], calibration_ctx=8192)
best = None
for _ in range(asked["rounds"]):
    arrivals = [(t, Request(i, t, p, o)) for i, (t, p, o) in enumerate(asked["requests"])]
    config = FleetConfig([PoolConfig("all", gpu, asked["replicas"], 131072)], "LeastLoadedRouter")
    begin = time.process_time()
    found = Fleet(config).run(arrivals)
    seconds = time.process_time() - begin
    best = seconds if best is None else min(best, seconds)
print(json.dumps({"seconds": best}))
"""


def timed(arrivals: Arrivals, step: BatchTime, replicas: int, jump: bool) -> tuple[float, Replayed]:
    begin = time.process_time()
    limits = replica_limits(step, arrivals.block_tokens)
    found = replay(arrivals, step, limits, replicas, jump=jump)
    found.metrics()
    return time.process_time() - begin, found


def widest(one: Replayed, other: Replayed) -> float:
    """Largest relative difference of any token time."""
    return max(
        float(np.max(np.abs(a / b - 1)))
        for a, b in (
            (one.token_times(at), other.token_times(at)) for at in range(len(one.arrivals)) if one.replica[at] >= 0
        )
    )


def peer(python: str, arrivals: Arrivals, step: BatchTime, replicas: int, rounds: int) -> float:
    alone = step.decode(1, 0)
    asked = {
        "W": alone,
        "H": step.decode(1, 8192) - alone + step.sequence,
        "blocks": step.kv_tokens // 64,
        "slots": 256,
        "replicas": replicas,
        "rounds": rounds,
        "requests": list(
            zip(arrivals.arrival_s.tolist(), arrivals.prompt.tolist(), arrivals.output.tolist(), strict=True)
        ),
    }
    done = subprocess.run([python, "-c", PEER], input=json.dumps(asked), capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", nargs="?", default="mooncake-conversation")
    parser.add_argument("--replicas", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", help="interpreter of an environment with vllm-sr-sim")
    asked = parser.parse_args()
    load = workload(asked.trace, 1 << 30)
    arrivals = load.arrivals
    setup = setup_of("Qwen3-32B", "H200-SXM", "bf16", "vllm", Layout(tp=4))
    believed = belief(setup)
    mean = float(arrivals.prompt.mean() + arrivals.output.mean() / 2)
    step = batch_time(believed.on(setup), believed.calibration.theta, mean)

    gc.collect()
    gc.freeze()  # the libraries and the trace are not the replay's to go through
    stepped_s, stepped = timed(arrivals, step, asked.replicas, jump=False)
    rounds = [timed(arrivals, step, asked.replicas, jump=True) for _ in range(asked.rounds)]
    jumped_s, jumped = min(rounds, key=lambda found: found[0])
    apart = widest(jumped, stepped)
    if apart > 1e-9:
        raise SystemExit(f"the two forms differ by {apart:.2g}")
    count = len(arrivals)
    print(f"{load.name}: {count:,} requests, Qwen3-32B on {asked.replicas} x 4 H200, {jumped.steps:,} steps")
    print(f"step by step    {count / stepped_s:10,.0f} requests/s  ({stepped_s:.2f} s)")
    print(f"event to event  {count / jumped_s:10,.0f} requests/s  ({jumped_s:.2f} s)")
    print(f"ratio {stepped_s / jumped_s:.1f}; largest difference of a token time {apart:.1e}")
    if asked.peer:
        seconds = peer(asked.peer, arrivals, step, asked.replicas, asked.rounds)
        print(f"vllm-sr-sim     {count / seconds:10,.0f} requests/s  ({seconds:.2f} s), ratio {seconds / jumped_s:.2f}")


if __name__ == "__main__":
    main()
