"""When the tokens of a replayed request came, for tests that compare them one by one."""

import numpy as np

from executor.scheduler.sequence import ROUNDING


def times_of(found, request):
    """When each token of a request reached the client, seconds; empty where it was refused."""
    number = int(found.replica[request])
    if number < 0:
        return np.zeros(0)
    spans, line = found._spans[number], found._lines[number]
    times = []
    for at in np.flatnonzero(spans.request == request):
        steps = np.ceil(np.arange(1, spans.count[at]) / spans.pace - ROUNDING).astype(int)
        times.append(np.concatenate([[spans.time[at]], line.ends(spans.step[at] + steps)]))
    joined = np.concatenate(times)
    return joined + (found.first_token_s[request] - joined[0])
