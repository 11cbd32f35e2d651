"""Figures of the section on gates and deliveries: a replay of the real history against its rivals."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from planner.hindcast import END, FLOOR, HORIZONS, LAWS, Hindcast, Span, Target, YesNo
from planner.supply.network.gate import State

_BINS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0 + 1e-9)
_BAR = {"brier": 0.47, "log": 0.85, "coverage": (0.70, 0.90)}
"""What the replay of the twelve dates is held to; set in Nov 2026 from a trial of about 25 laws on these dates."""
_VARIANTS, _EPISODES = 25, 5
"""About as many laws were tried on the twelve dates; about as many episodes do these dates hold."""
_WORST = 6


def hindcast_figures(
    twelve: Hindcast, monthly: Hindcast | None = None, readings: Mapping[str, Hindcast] | None = None
) -> dict[str, Any]:
    """Scores, rivals, calibration and the worst forecasts; ``readings`` are other readings of the record by name."""
    replays = {"main": twelve, **(readings or {})}
    return {
        "targets": len(twelve.targets),
        "futures": twelve.draws,
        "last_day": str(END),
        "floor": FLOOR,
        "monthly_dates": len(monthly.dates) if monthly else 0,
        "variants": _VARIANTS,
        "episodes": _EPISODES,
        "bar": _BAR,
        "coverage": twelve.coverage,
        "laws": [_law(law, twelve, monthly, replays) for law in LAWS],
        "dates": [_date(as_of, twelve) for as_of in twelve.dates],
        "calibration": _calibration(twelve),
        "changes": _changes(twelve.changes),
        "passing": _spans(twelve.passing),
        "both_pass": _events(twelve.both),
        "deliveries": _events(twelve.deliveries),
        "worst": [_forecast(target) for target in _worst(twelve)],
        "moved": {
            "share": float(np.mean([target.moved for target in twelve.targets])),
            "brier": twelve.brier(where=lambda target: target.moved),
            "stayed_brier": twelve.brier(where=lambda target: not target.moved),
        },
    }


def _law(law: str, twelve: Hindcast, monthly: Hindcast | None, readings: Mapping[str, Hindcast]) -> dict[str, Any]:
    """Scores of one law, whole and cut; the differences are the gate law's score less this one's."""
    months = {"monthly_brier": monthly.brier(law), "monthly_log": monthly.log(law)} if monthly else {}
    scores = ("brier", "log") if law != LAWS[0] else ()
    return {
        "law": law,
        "brier": twelve.brier(law),
        "log": twelve.log(law),
        **months,
        **{f"less_{score}": twelve.difference(law, score) for score in scores},
        "by_horizon": {str(days): twelve.brier(law, _whose("days", days)) for days in HORIZONS},
        "by_gate": {gate: twelve.brier(law, _whose("gate", gate)) for gate in ("us", "cn", "vendor")},
        "by_date": {str(day): twelve.brier(law, _whose("as_of", day)) for day in twelve.dates},
        "by_reading": {name: replay.brier(law) for name, replay in readings.items()},
    }


def _whose(field: str, value: object) -> Callable[[Target], bool]:
    return lambda target: bool(getattr(target, field) == value)


def _date(as_of: dt.date, twelve: Hindcast) -> dict[str, Any]:
    mine = [target for target in twelve.targets if target.as_of == as_of]
    return {"as_of": str(as_of), "targets": len(mine), "moved": sum(target.moved for target in mine)}


def _calibration(replay: Hindcast) -> list[dict[str, Any]]:
    """P(the gate is conditional or open) in bins: how many forecasts, mean said, share that happened."""
    said = np.array([target.said[LAWS[0]][State.CONDITIONAL :].sum() for target in replay.targets])
    happened = np.array([target.truth >= State.CONDITIONAL for target in replay.targets])
    bins = ((low, high, (said >= low) & (said < high)) for low, high in pairwise(_BINS))
    return [
        {
            "low": low,
            "high": min(high, 1.0),
            "forecasts": int(mine.sum()),
            "said": float(said[mine].mean()),
            "happened": float(happened[mine].mean()),
        }
        for low, high, mine in bins
        if mine.any()
    ]


def _changes(changes: Sequence[Span]) -> dict[str, Any]:
    """Days to the first change; ``seen`` are the changes inside the window."""
    seen = [span for span in changes if span.truth < span.limit]
    return {**_spans(changes), "seen": len(seen), "seen_held": _spans(seen)["held"]}


def _spans(spans: Sequence[Span]) -> dict[str, Any]:
    """``held`` is the share inside the 80 % band."""
    if not spans:
        return {"spans": 0, "crps_days": None, "held": None}
    crps = float(np.mean([span.crps for span in spans]))
    held = float(np.mean([span.covered for span in spans]))
    return {"spans": len(spans), "crps_days": crps, "held": held}


def _events(events: Sequence[YesNo]) -> dict[str, Any] | None:
    if not events:
        return None
    return {
        "forecasts": len(events),
        "happened": sum(event.happened for event in events),
        "brier": float(np.mean([event.brier for event in events])),
        "rival_brier": float(np.mean([event.rival_brier for event in events])),
    }


def _worst(twelve: Hindcast) -> list[Target]:
    """The gates and dates with the worst forecasts, at the horizon where each was worst."""
    worst: dict[tuple[dt.date, str, str], Target] = {}
    for target in sorted(twelve.targets, key=lambda target: -target.brier(LAWS[0])):
        worst.setdefault((target.as_of, target.product, target.gate), target)
    return list(worst.values())[:_WORST]


def _forecast(target: Target) -> dict[str, Any]:
    said = target.said[LAWS[0]]
    return {
        "as_of": str(target.as_of),
        "product": target.product,
        "gate": target.gate,
        "days": target.days,
        "came": target.truth.name.lower(),
        "said": float(said[target.truth]),
        "was": target.state_then.name.lower(),
        "said_stayed": float(said[target.state_then]),
    }
