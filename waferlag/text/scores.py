"""Scores on a terminal: the step-time model by group, the gate law by forecast."""

from collections.abc import Iterable, Iterator, Sequence

from executor.estimate.accuracy import GroupScore, Setting
from executor.estimate.measured_points import Cleaned
from planner.hindcast import LAWS, Hindcast

METRICS = ("tpot", "throughput", "ttft")


def score_text(settings: Sequence[Setting], cleaned: Cleaned) -> str:
    """The score on a terminal: one table per setting, means last."""
    head = f"{len(cleaned.cases)} rows read, {len(cleaned.rejected)} left out (their reasons: --json or --markdown)"
    return "\n".join([head, *(line for setting in settings for line in ("", *_setting(setting)))])


def _setting(setting: Setting) -> Iterator[str]:
    total = setting.summary
    held = ", prior of the other groups alone" if setting.held_out else ""
    yield (
        f"at most {setting.rows_at_most} calibration rows per group{held}: {total.calibration_rows} calibrate,"
        f" {total.scored_rows} scored in {total.groups} groups"
    )
    yield f"  {'group':<58} {'cal':>3} {'rows':>4} {'TPOT':>14} {'throughput':>14} {'TTFT':>14}  in 80 %: P/thr/F"
    yield from (_group(group, "") for group in setting.groups)
    yield from (_group(group, "*") for group in setting.uncalibrated)
    if total.groups:
        figures = _figures((total.error[m], total.bias[m], total.coverage[m]) for m in METRICS)
        yield f"  {'mean over groups, error in % (bias)':<67} {figures}"
    if setting.uncalibrated:
        yield "  * fewer than two calibration rows: listed, not averaged"


def _group(group: GroupScore, mark: str) -> str:
    metrics = (getattr(group, metric) for metric in METRICS)
    figures = _figures((each.error, each.bias, each.coverage) for each in metrics)
    name = f"{group.group}{mark}"
    return f"  {name[:58]:<58} {len(group.calibration_lines):>3} {group.scored:>4} {figures}"


def _figures(metrics: Iterable[tuple[float, float, float]]) -> str:
    """Error and bias of each metric in per cent, then the coverage of each."""
    found = tuple(metrics)
    errors = " ".join(f"{100 * error:6.1f} ({100 * bias:+5.0f})" for error, bias, _ in found)
    return f"{errors}  {'/'.join(f'{100 * cover:.0f}' for _, _, cover in found)}"


def forecast_table(replay: Hindcast) -> str:
    """One replay as a table: what was said for each gate and day, and what happened."""
    head = "| as of | product | gate | in | then | closed | promised | conditional | open | happened |"
    lines = [head, "|" + "---|" * 10]
    for target in replay.targets:
        shares = " | ".join(f"{share:.2f}" for share in target.said[LAWS[0]])
        lines.append(
            f"| {target.as_of} | {target.product} | {target.gate} | {target.days} d | {target.state_then.name.lower()}"
            f" | {shares} | {target.truth.name.lower()} |"
        )
    return "\n".join(lines)
