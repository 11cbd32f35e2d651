"""Steps and their operators, timed on a tiny model."""

import pytest

pytest.importorskip("torch")

from executor.errors import BadInputError
from executor.measure.parts import step_parts


def test_a_step_is_timed_with_its_operators_by_batch_size(tiny_engine):
    engine = tiny_engine(pages=64, token_budget=96)
    found = list(step_parts(engine, (1, 4), context=40, samples=5))
    assert [(part.name, part.batch) for part in found if part.batch == 4] == [
        ("step", 4),
        ("attention", 4),
        ("mlp", 4),
        ("head", 4),
    ]
    layers = len(engine.decoder.weights.layers)
    assert {part.name: part.calls for part in found} == {"step": 1, "attention": layers, "mlp": layers, "head": 1}
    for part in found:
        assert 0 < part.timing.low <= part.timing.median <= part.timing.high
    # A step does all of it and the norms besides; half of the sum allows for a busy machine.
    whole = {part.name: part.calls * part.timing.median for part in found if part.batch == 4}
    step = whole.pop("step")
    assert step > 0.5 * sum(whole.values())


def test_timing_leaves_the_engine_able_to_serve(tiny_engine):
    engine = tiny_engine(pages=64, token_budget=96)
    before = engine.generate([[1, 2, 3, 4]])
    list(step_parts(engine, (2,), context=30, samples=2))
    assert engine.generate([[1, 2, 3, 4]]) == before


@pytest.mark.parametrize(("batch", "context"), [(9, 10), (8, 200), (1, 5000)])
def test_more_than_the_engine_holds_is_refused(tiny_engine, batch, context):
    with pytest.raises(BadInputError, match="more than the engine holds"):
        list(step_parts(tiny_engine(pages=64, token_budget=96), (batch,), context))
