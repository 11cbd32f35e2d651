"""The hindcast told in markdown, for the accuracy page and the terminal: every number comes from the replay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from executor.portable.elementary import square
from planner.hindcast import END, FLOOR, HORIZONS, LAWS, Hindcast, Span, Target, YesNo
from planner.supply.network.gate import State

_BINS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0 + 1e-9)
_GOOD_BRIER, _GOOD_LOG, _GOOD_COVER = 0.47, 0.85, (0.70, 0.90)
"""What the replay of the twelve dates is held to; set in Nov 2026 from a trial of about 25 laws on these dates."""


def hindcast_section(
    twelve: Hindcast, monthly: Hindcast | None = None, readings: Mapping[str, Hindcast] | None = None
) -> str:
    """Section "Gates and deliveries": scores, rivals, calibration, and a plain reading of where it was wrong."""
    parts = [
        "## Gates and deliveries",
        f"`waferlag hindcast`: {len(twelve.dates)} as-of dates from {twelve.dates[0]} to {twelve.dates[-1]};"
        f" on each only what was public then; {len(twelve.targets)} states forecast at"
        f" {', '.join(f'+{days}' for days in HORIZONS)} days and scored up to {END}; {twelve.draws:,} futures each."
        " Brier runs from 0 to 2, log from 0 up; lower is better. Every law is mixed with a floor of 0.01.",
        _scores(twelve, monthly),
        _bar(twelve),
        _differences(twelve),
        "By horizon and by gate (Brier):",
        _cut(twelve),
        "By date (Brier):",
        _by_date(twelve),
        "How often a gate lets goods pass, said and happened:",
        calibration(twelve),
        _bands(twelve),
        _events("Both governments' gates pass on the day", twelve.both, "the state of the day stays"),
        _events(
            "A lot ordered on the day from finished stock has left the vendor",
            twelve.deliveries,
            "gates stay as they are",
        ),
        "### Where it was wrong",
        *_worst(twelve),
        _reading_of_errors(twelve),
    ]
    if readings:
        parts += ["### Other readings of the record", _readings({"main": twelve, **readings})]
    return "\n\n".join(part for part in parts if part)


def forecast_table(replay: Hindcast) -> str:
    """One replay as a table: what was said for each gate and day, and what happened."""
    head = "| as of | product | gate | in | then | closed | promised | conditional | open | happened |"
    lines = [head, "|" + "---|" * 10]
    for target in replay.targets:
        shares = " | ".join(f"{share:.2f}" for share in target.said[LAWS[0]])
        lines.append(
            f"| {target.as_of} | {target.product} | {target.gate} | {target.days} d | {_word(target.state_then)}"
            f" | {shares} | {_word(target.truth)} |"
        )
    return "\n".join(lines)


def _scores(twelve: Hindcast, monthly: Hindcast | None) -> str:
    grid = f" | monthly, {len(monthly.dates)} dates: Brier | log" if monthly else ""
    lines = [f"| law | Brier | log{grid} |", "|---|---|---|" + ("---|---|" if monthly else "")]
    for law in LAWS:
        row = f"| {law} | {twelve.brier(law):.3f} | {twelve.log(law):.3f} |"
        lines.append(row + (f" {monthly.brier(law):.3f} | {monthly.log(law):.3f} |" if monthly else ""))
    return "\n".join(lines)


def _bar(twelve: Hindcast) -> str:
    """Whether the bar was reached, and by how much it was missed."""
    checks = (
        ("Brier", twelve.brier(), _GOOD_BRIER),
        ("log", twelve.log(), _GOOD_LOG),
    )
    told = [
        f"{name} {value:.3f} against at most {bar} ({'reached' if value <= bar else f'missed by {value - bar:.3f}'})"
        for name, value, bar in checks
    ]
    low, high = _GOOD_COVER
    inside = low <= twelve.coverage <= high
    miss = max(low - twelve.coverage, twelve.coverage - high)
    told.append(
        f"80 % bands hold {twelve.coverage:.0%} of dated outcomes against {low:.0%} to {high:.0%}"
        f" ({'reached' if inside else f'missed by {miss:.0%}'})"
    )
    return "The bar: " + "; ".join(told) + "."


def _differences(twelve: Hindcast) -> str:
    lines = ["| the gate law against | Brier | log |", "|---|---|---|"]
    for rival in LAWS[1:]:
        cells = []
        for score in ("brier", "log"):
            value, low, high = twelve.difference(rival, score)
            cells.append(f"{value:+.3f} ({low:+.3f} .. {high:+.3f})")
        lines.append(f"| {rival} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n\nIn brackets: 90 % intervals from resampling the as-of dates."


def _cut(twelve: Hindcast) -> str:
    by_days = {f"+{days} d": _horizon(days) for days in HORIZONS}
    by_gate = {gate: _gate(gate) for gate in ("us", "cn", "vendor")}
    cuts = {**by_days, **by_gate}
    lines = ["| law | " + " | ".join(cuts) + " |", "|---|" + "---|" * len(cuts)]
    scores = {law: [f"{twelve.brier(law, keep):.3f}" for keep in cuts.values()] for law in LAWS}
    lines += [f"| {law} | " + " | ".join(cells) + " |" for law, cells in scores.items()]
    return "\n".join(lines)


def _horizon(days: int) -> Callable[[Target], bool]:
    return lambda target: target.days == days


def _gate(gate: str) -> Callable[[Target], bool]:
    return lambda target: target.gate == gate


def _by_date(twelve: Hindcast) -> str:
    lines = ["| as of | targets | moved | " + " | ".join(LAWS) + " |", "|---|---|---|" + "---|" * len(LAWS)]
    for as_of in twelve.dates:
        mine = [target for target in twelve.targets if target.as_of == as_of]
        scores = (
            sum(target.brier(law) for target in mine) / len(mine) if mine else float("nan") for law in LAWS
        )
        moved = sum(target.moved for target in mine)
        lines.append(f"| {as_of} | {len(mine)} | {moved} | " + " | ".join(f"{s:.2f}" for s in scores) + " |")
    return "\n".join(lines)


def calibration(replay: Hindcast) -> str:
    """P(the gate is conditional or open) in bins: how many forecasts, mean said, share that happened."""
    said = np.array([target.said[LAWS[0]][State.CONDITIONAL :].sum() for target in replay.targets])
    happened = np.array([target.truth >= State.CONDITIONAL for target in replay.targets])
    lines = ["| said between | forecasts | mean said | happened |", "|---|---|---|---|"]
    for low, high in pairwise(_BINS):
        mine = (said >= low) & (said < high)
        if mine.any():
            lines.append(
                f"| {low:.2f} .. {min(high, 1.0):.2f} | {mine.sum()} | {said[mine].mean():.2f}"
                f" | {happened[mine].mean():.2f} |"
            )
    return "\n".join(lines)


def _bands(twelve: Hindcast) -> str:
    seen = [span for span in twelve.changes if span.truth < span.limit]
    return (
        f"Time to the first change: CRPS {_crps(twelve.changes):.0f} days; the 80 % band holds"
        f" {_cover(twelve.changes):.0%} of {len(twelve.changes)}, but only {_cover(seen):.0%} of the {len(seen)} that"
        " changed inside the window: one that has not changed by the end of the record nearly always counts as held."
        f" Days on which both governments' gates pass: CRPS {_crps(twelve.passing):.0f} days, band holds"
        f" {_cover(twelve.passing):.0%} of {len(twelve.passing)}."
    )


def crps(span: Span) -> float:
    r"""Continuous ranked probability score of a forecast, days: E|X - y| - E|X - X'| / 2."""
    ordered = np.sort(span.draws)
    n = len(ordered)
    spread = 2 * float((ordered * (2 * np.arange(1, n + 1) - n - 1)).sum()) / (n * n)
    return float(np.abs(ordered - span.truth).mean()) - spread / 2


def rival_brier(event: YesNo) -> float:
    """Squared error of a rival who holds that nothing changes, with the floor."""
    return square(FLOOR + (1 - 2 * FLOOR) * event.today - event.happened)


def _crps(spans: Sequence[Span]) -> float:
    return float(np.mean([crps(span) for span in spans])) if spans else float("nan")


def _cover(spans: Sequence[Span]) -> float:
    return float(np.mean([span.covered for span in spans])) if spans else float("nan")


def _events(title: str, events: Sequence[YesNo], rival: str) -> str:
    if not events:
        return ""
    mine = float(np.mean([event.brier for event in events]))
    theirs = float(np.mean([rival_brier(event) for event in events]))
    yes = sum(event.happened for event in events)
    return (
        f"{title}: {len(events)} forecasts, {yes} came true; Brier (0 to 1) {mine:.3f} against {theirs:.3f} for"
        f' "{rival}".'
    )


def _worst(twelve: Hindcast, count: int = 6) -> list[str]:
    """The gates and dates with the worst forecasts, at the horizon where each was worst."""
    worst: dict[tuple[dt.date, str, str], Target] = {}
    for target in sorted(twelve.targets, key=lambda target: -target.brier(LAWS[0])):
        worst.setdefault((target.as_of, target.product, target.gate), target)
    lines = []
    for target in list(worst.values())[:count]:
        said = target.said[LAWS[0]]
        came, stayed = said[target.truth], said[target.state_then]
        lines.append(
            f"- {target.as_of}, {target.product}, {target.gate} gate, +{target.days} days: {came:.2f} for"
            f" {_word(target.truth)}, which came; {stayed:.2f} for {_word(target.state_then)}, as it was."
        )
    return ["\n".join(lines)]


def _reading_of_errors(twelve: Hindcast) -> str:
    moved, stayed = twelve.brier(where=lambda t: t.moved), twelve.brier(where=lambda t: not t.moved)
    share = np.mean([target.moved for target in twelve.targets])
    value, low, high = twelve.difference("softened persistence")
    skill = "shows skill over" if high < 0 else "shows no skill over"
    return (
        f"Read plainly: where the state moved ({share:.0%} of the targets) the score is {moved:.2f}, where it stayed"
        f" {stayed:.2f}: nobody knew the direction, and most of the gain over the first two rivals is that this law"
        f" admits that things move. By the Brier score it {skill} softened persistence ({value:+.3f},"
        f" {low:+.3f} .. {high:+.3f}). The dates overlap in what they forecast and hold about five episodes, so"
        " the second decimal means little; half of the dates were chosen at news. The prior weight, the half-life"
        " and the tempo were picked among about 25 variants on these same dates, and whoever drew the links knew 2025:"
        " expect the next dates to score somewhat worse."
    )


def _readings(replays: Mapping[str, Hindcast]) -> str:
    lines = ["| reading | " + " | ".join(LAWS) + " |", "|---|" + "---|" * len(LAWS)]
    for name, replay in replays.items():
        lines.append(f"| {name} | " + " | ".join(f"{replay.brier(law):.3f}" for law in LAWS) + " |")
    return "\n".join(lines) + "\n\nBrier on the same dates, known and happened both read that way."


def _word(state: State) -> str:
    return state.name.lower()
