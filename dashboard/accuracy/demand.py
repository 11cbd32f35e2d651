"""Demand on the accuracy pages: the nodes that a published load needs, hour by hour."""

from collections.abc import Sequence

from dashboard.accuracy.figures import Figures
from dashboard.accuracy.markdown import table


def day(found: Figures) -> str:
    """DeepSeek's own day: nodes published and predicted."""
    head = ("hour (Beijing)", "load / mean", "published", "predicted (80 %)", "error")
    rows = [
        (
            each["hour"],
            f"{each['load']:.2f}",
            f"{each['published']:.0f}",
            f"{each['predicted']:.0f} ({each['low']:.0f}-{each['high']:.0f})",
            f"{each['error']:+.0%}",
        )
        for each in found["hours"]
    ]
    return f"{_asked(found)}\n\n{_result(found)}\n\n{table(head, rows)}"


def headline(found: Figures) -> str:
    """Mean nodes of the day, predicted and published."""
    mean = found["mean"]
    return (
        f"{mean['predicted']:.0f} ({mean['low']:.0f}-{mean['high']:.0f}) nodes predicted for DeepSeek's day,"
        f" {mean['published']:.0f} published; mean absolute error by hour {found['absolute_error']:.0%}"
    )


def _asked(found: Figures) -> str:
    return (
        "`python benchmarks/deepseek_day.py`: nodes of 8 x H800 that served all of V3 and R1 on 27 and 28 February"
        f" 2025, published against predicted. Rates per node: {_rate(found['prefill'])} computed prompt tokens/s in"
        f" prefill units of {found['prefill_nodes']} nodes, {_rate(found['decode'])} output tokens/s in decoding units"
        f" of {found['decode_nodes']} at {found['tokens_per_s']:g} tokens/s a request; label {found['label']}:"
        f" {found['reason']}. Prompts of {found['prompt_tokens']:,.0f} tokens are assumed, no drafting, whole units in"
        f" every hour, no headroom. Source: {found['source']}."
    )


def _rate(interval: Sequence[float]) -> str:
    value, low, high = interval
    return f"{value:,.0f} ({low:,.0f}-{high:,.0f})"


def _result(found: Figures) -> str:
    mean, most = found["mean"], max(hour["published"] for hour in found["hours"])
    return (
        f"Mean of the day: {mean['predicted']:.0f} ({mean['low']:.0f}-{mean['high']:.0f}) predicted,"
        f" {mean['published']:.0f} published ({mean['error']:+.0%}). By hour: mean absolute error"
        f" {found['absolute_error']:.0%}, bias {found['bias']:+.0%}, {found['inside']:.0%} of the hours inside the 80 %"
        f" interval. The published line stands still at {most:.0f} nodes by day, presumably all there were: load above"
        " that was served slower, which a prediction at a fixed speed does not do."
    )
