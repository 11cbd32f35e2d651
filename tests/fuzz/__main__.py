"""``make fuzz``: damaged inputs of every kind, from FUZZ_SEED on, FUZZ_INPUTS in all (default: five minutes' worth).

FUZZ_KINDS names some of the kinds; FUZZ_AGAIN=kind:seed:number reads one input again and shows what happens;
FUZZ_OUT is the file for the failures.
"""

import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz.kinds import KINDS, read_quietly
from tests.fuzz.trial import CHUNK, Tally, forbidden, lay_out, limited, trial, warmed_up

SECONDS = 300


def chunks(names: Sequence[str], seed: int, inputs: int | None) -> Iterator[tuple[str, int, Sequence[int]]]:
    """Chunks of every kind in turn: of ``inputs`` in all, or for ever."""
    each = None if inputs is None else -(-inputs // len(names))
    first = 0
    while each is None or first < each:
        last = first + CHUNK if each is None else min(each, first + CHUNK)
        yield from ((name, seed, range(first, last)) for name in names)
        first = last


def table(tally: Tally) -> str:
    columns = ["accepted", "refused", "escaped", "hang", "memory", "died", "secret"]
    rows = [f"{'kind':<10}" + "".join(f"{column:>10}" for column in columns)]
    names = sorted({kind for kind, _ in tally.outcomes})
    rows += [f"{name:<10}" + "".join(f"{tally.outcomes[name, column]:>10}" for column in columns) for name in names]
    return "\n".join(rows)


def again(which: str) -> None:
    """One input again, with all that it says; its files stay."""
    name, seed, number = which.split(":")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    forbidden(folder)
    path, random = lay_out(KINDS[name], int(seed), int(number), name, folder)
    print(path)
    limited(KINDS[name].limit_bytes)
    print(repr(read_quietly(KINDS[name], path, random))[:2000])


def main() -> int:
    """Exit code 1 where an input failed."""
    if which := os.environ.get("FUZZ_AGAIN"):
        again(which)
        return 0
    seed = int(os.environ.get("FUZZ_SEED") or 1)
    inputs = int(os.environ["FUZZ_INPUTS"]) if os.environ.get("FUZZ_INPUTS") else None
    names = warmed_up((os.environ.get("FUZZ_KINDS") or ",".join(KINDS)).split(","))
    began = time.monotonic()
    stop_at = began + SECONDS if inputs is None else float("inf")
    tally = trial(chunks(names, seed, inputs), os.cpu_count() or 2, stop_at)
    tried, took = sum(tally.outcomes.values()), time.monotonic() - began
    print(table(tally))
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = spent.ru_utime + spent.ru_stime
    print(f"{tried:,} inputs from seed {seed} in {took:.0f} s; {cpu:.0f} CPU seconds, {1000 * cpu / tried:.0f} ms each")
    if tally.failures:
        out = Path(os.environ.get("FUZZ_OUT") or "out/fuzz-failures.txt")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(map(str, tally.failures)), encoding="utf-8", errors="backslashreplace")
        last = ((each.kind, (each.said.strip() or each.what).splitlines()[-1]) for each in tally.failures)
        for (where, line), count in Counter(last).most_common(40):
            print(f"{count:>5} {where}: {line[:150]}")
        print(f"failures: {out}; one again: FUZZ_AGAIN=kind:seed:number make fuzz")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
