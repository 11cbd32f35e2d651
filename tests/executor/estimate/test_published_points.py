"""Published single figures: sourced, predicted, and mostly inside the interval."""

import math

from executor.estimate.published_points import compared


def test_every_published_figure_has_a_prediction_with_an_interval_and_a_source():
    found = compared()
    assert len(found) >= 15
    for point in found:
        assert point.source
        assert point.predicted.low < point.predicted.value < point.predicted.high
        assert math.isfinite(point.error)


def test_intervals_named_80_per_cent_hold_most_of_what_was_published():
    """Seventeen figures at 80 %: fewer than 11 would have a chance of 4 %."""
    found = compared()
    assert sum(point.inside for point in found) >= 11


def test_throughput_is_predicted_within_a_third_on_average():
    errors = [abs(p.error) for p in compared() if p.metric == "tokens_per_s_per_gpu"]
    assert sum(errors) / len(errors) < 0.33
