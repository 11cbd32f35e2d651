"""Both forms of the replay on a real trace."""

from pathlib import Path

import pytest

from executor.estimate.calibration import belief, setup_of
from executor.model.cost import Layout
from executor.replay.cluster import replay
from executor.steptime.batch import batch_time
from tests.executor.token_times import times_of
from waferlag.workload import workload

MOONCAKE = Path(__file__).resolve().parents[3] / "shared/data/traces/mooncake/conversation_trace.jsonl.gz"


@pytest.mark.skipif(not MOONCAKE.exists(), reason="the Mooncake trace does not lie beside the repository")
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.slow
def test_every_token_of_mooncakes_conversations_comes_at_the_same_time_in_both_forms(engine):
    given = workload(str(MOONCAKE), 1 << 28, requests=800).arrivals
    setup = setup_of("Qwen3-32B", "H200-SXM", "bf16", engine, Layout(tp=4))
    believed = belief(setup)
    time = batch_time(believed.on(setup), believed.calibration.theta, 12_000)
    jumped, stepped = (replay(given, time, replicas=6, jump=jump) for jump in (True, False))
    assert jumped.steps == stepped.steps
    assert jumped.prompt_tokens_cached == stepped.prompt_tokens_cached > 0
    for at in range(len(given)):
        assert times_of(jumped, at) == pytest.approx(times_of(stepped, at), rel=1e-9)
