"""Figures of the section on serving throughput: scores by group, published figures, what fits."""

from collections.abc import Iterator, Sequence
from typing import Any

from executor.estimate.accuracy import METRICS, RULE, Setting
from executor.estimate.measured_points import Cleaned
from executor.estimate.published_points import Compared, compared
from executor.model.cost import USABLE_SHARE, Layout, memory_fit
from executor.model.spec import model_spec
from executor.reference.accelerators import accelerator
from executor.steptime.parameters import WIDEN_CALIBRATED, WIDEN_UNCALIBRATED

MEMORY_CASES = (
    ("DeepSeek-R1", "fp8", "H20-96GB", Layout(8)),
    ("DeepSeek-R1", "fp8", "H20-141GB", Layout(8)),
    ("DeepSeek-R1", "fp8", "H100-SXM", Layout(8)),
    ("DeepSeek-R1", "fp8", "H200-SXM", Layout(8)),
    ("DeepSeek-R1", "int8", "Ascend-910C", Layout(8)),
    ("Qwen3-32B", "bf16", "H100-SXM", Layout(1)),
    ("Qwen3-32B", "fp8", "H20-96GB", Layout(1)),
    ("Qwen3-235B-A22B", "fp8", "H100-SXM", Layout(4)),
    ("Kimi-K2.5", "int4", "H200-SXM", Layout(8)),
    ("Llama-3.3-70B", "bf16", "H100-SXM", Layout(2)),
)


def serving_figures(settings: Sequence[Setting], cleaned: Cleaned, source: str) -> dict[str, Any]:
    """What was scored, by which rules, with which result. ``source`` is the name of the measured file."""
    reasons: dict[str, list[int]] = {}
    for row in cleaned.rejected:
        reasons.setdefault(row.reason, []).append(row.line)
    return {
        "source": source,
        "rows": len(cleaned.cases),
        "rule": RULE,
        "widened": {"with_rows": WIDEN_CALIBRATED, "without_rows": WIDEN_UNCALIBRATED},
        "settings": [_setting(setting) for setting in settings],
        "groups": [group for setting in settings for group in _groups(setting)],
        "left_out": [{"reason": reason, "lines": lines} for reason, lines in reasons.items()],
        "remarks": [{"line": case.line, "note": note} for case in cleaned.cases for note in case.notes],
        "published": [_published(point) for point in compared()],
        "memory": {"usable_share": USABLE_SHARE, "set_ups": [_memory(*case) for case in MEMORY_CASES]},
    }


def _setting(setting: Setting) -> dict[str, Any]:
    total = setting.summary
    of_metric = ("error", "bias", "coverage", "coverage_by_row")
    return {
        **_fields(setting, "rows_at_most", "held_out"),
        **_fields(total, "groups", "calibration_rows", "scored_rows"),
        "worst_tpot": total.worst["tpot"],
        **{metric: {name: getattr(total, name)[metric] for name in of_metric} for metric in METRICS},
    }


def _groups(setting: Setting) -> Iterator[dict[str, Any]]:
    for group in (*setting.groups, *setting.uncalibrated):
        yield {
            **_fields(setting, "rows_at_most", "held_out"),
            "averaged": group in setting.groups,
            "group": str(group.group),
            "label": group.label,
            "calibration_rows": len(group.calibration_lines),
            "scored": group.scored,
            **{metric: _fields(getattr(group, metric), "error", "bias", "coverage") for metric in METRICS},
        }


def _published(point: Compared) -> dict[str, Any]:
    predicted = point.predicted
    return {
        **_fields(point, "set_up", "note", "phase", "metric", "published"),
        **{"predicted": predicted.value, "low": predicted.low, "high": predicted.high},
        **_fields(point, "inside", "error", "label", "source"),
    }


def _fields(of: object, *names: str) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}


def _memory(model: str, precision: str, gpu: str, layout: Layout) -> dict[str, Any]:
    fit = memory_fit(model_spec(model), layout, precision, accelerator(gpu))
    return {
        "set_up": f"{model} {precision} on {layout.gpus} x {gpu}",
        "weights_gb": fit.weights_gb,
        "free_gb": fit.free_gb,
        "free_gib": fit.free_gb * 1e9 / 2**30,
        "kv_tokens": fit.kv_tokens,
        "fits": fit.fits,
    }
