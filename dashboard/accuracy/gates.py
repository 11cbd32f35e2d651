"""Gates and deliveries on the accuracy pages: the gate law replayed on the real history, against its rivals."""

from collections.abc import Sequence

from dashboard.accuracy.figures import Figures
from dashboard.accuracy.markdown import bullets, decimals, table


def hindcast(found: Figures) -> str:
    """Scores, rivals, calibration, and a plain reading of where it was wrong."""
    parts = (
        _replayed(found),
        _scores(found),
        _bar(found),
        _differences(found["laws"]),
        "By horizon and by gate (Brier):",
        _cuts(found["laws"]),
        "By date (Brier):",
        _by_date(found),
        "How often a gate lets goods pass, said and happened:",
        _calibration(found["calibration"]),
        _spans(found["changes"], found["passing"]),
        _events("Both governments' gates pass on the day", found["both_pass"], "the state of the day stays"),
        _events(
            "A lot ordered on the day from finished stock has left the vendor",
            found["deliveries"],
            "gates stay as they are",
        ),
        "### Where it was wrong",
        bullets(map(_worst, found["worst"])),
        _read_plainly(found),
        _readings(found),
    )
    return "\n\n".join(part for part in parts if part)


def headline(found: Figures) -> str:
    """Score of the gate law and of its nearest rival, and what the bands hold."""
    ours, *rivals = found["laws"]
    nearest = min(rivals, key=lambda law: law["brier"])
    return (
        f"Brier {ours['brier']:.3f}, that of the nearest rival ({nearest['law']}) {nearest['brier']:.3f};"
        f" 80 % bands hold {found['coverage']:.0%} of dated outcomes"
    )


def _replayed(found: Figures) -> str:
    dates, horizons = found["dates"], found["laws"][0]["by_horizon"]
    return (
        f"`waferlag hindcast`: {len(dates)} as-of dates from {dates[0]['as_of']} to {dates[-1]['as_of']}; on each only"
        f" what was public then; {found['targets']} states forecast at {', '.join(f'+{days}' for days in horizons)}"
        f" days and scored up to {found['last_day']}; {found['futures']:,} futures each. Brier runs from 0 to 2, log"
        f" from 0 up; lower is better. Every law is mixed with a floor of {found['floor']:g}."
    )


def _scores(found: Figures) -> str:
    monthly = found["monthly_dates"]
    head = ["law", "Brier", "log", *([f"monthly, {monthly} dates: Brier", "log"] if monthly else [])]
    names = ("brier", "log", "monthly_brier", "monthly_log")[: len(head) - 1]
    return table(head, [[law["law"], *(decimals(law[name], 3) for name in names)] for law in found["laws"]])


def _bar(found: Figures) -> str:
    """Whether the bar was reached, and by how much it was missed."""
    ours, bar = found["laws"][0], found["bar"]
    told = [
        f"{name} {value:.3f} against at most {most} ({'reached' if value <= most else f'missed by {value - most:.3f}'})"
        for name, value, most in (("Brier", ours["brier"], bar["brier"]), ("log", ours["log"], bar["log"]))
    ]
    low, high = bar["coverage"]
    held = found["coverage"]
    inside = "reached" if low <= held <= high else f"missed by {max(low - held, held - high):.0%}"
    told.append(f"80 % bands hold {held:.0%} of dated outcomes against {low:.0%} to {high:.0%} ({inside})")
    return "The bar: " + "; ".join(told) + "."


def _differences(laws: Sequence[Figures]) -> str:
    rows = [
        (rival["law"], *(_difference(rival["less_brier"], rival["less_log"])[at] for at in (0, 1)))
        for rival in laws[1:]
    ]
    return (
        table(("the gate law against", "Brier", "log"), rows)
        + "\n\nIn brackets: 90 % intervals from resampling the as-of dates."
    )


def _difference(*scores: Sequence[float]) -> list[str]:
    return [f"{value:+.3f} ({low:+.3f} .. {high:+.3f})" for value, low, high in scores]


def _cuts(laws: Sequence[Figures]) -> str:
    horizons, gates = laws[0]["by_horizon"], laws[0]["by_gate"]
    rows = [
        (law["law"], *(decimals(brier, 3) for brier in (*law["by_horizon"].values(), *law["by_gate"].values())))
        for law in laws
    ]  # fmt: skip
    return table(("law", *(f"+{days} d" for days in horizons), *gates), rows)


def _by_date(found: Figures) -> str:
    laws = found["laws"]
    rows = [
        (
            each["as_of"],
            each["targets"],
            each["moved"],
            *(decimals(law["by_date"][each["as_of"]], 2) for law in laws),
        )
        for each in found["dates"]
    ]
    return table(("as of", "targets", "moved", *(law["law"] for law in laws)), rows)


def _calibration(bins: Sequence[Figures]) -> str:
    rows = [
        (
            f"{each['low']:.2f} .. {each['high']:.2f}",
            each["forecasts"],
            f"{each['said']:.2f}",
            f"{each['happened']:.2f}",
        )
        for each in bins
    ]
    return table(("said between", "forecasts", "mean said", "happened"), rows)


def _spans(changes: Figures, passing: Figures) -> str:
    held, seen, days = (_percent(value) for value in (changes["held"], changes["seen_held"], passing["held"]))
    return (
        f"Time to the first change: CRPS {decimals(changes['crps_days'], 0)} days; the 80 % band holds {held} of"
        f" {changes['spans']}, but only {seen} of the {changes['seen']} that changed inside the window: one that has"
        " not changed by the end of the record nearly always counts as held. Days on which both governments' gates"
        f" pass: CRPS {decimals(passing['crps_days'], 0)} days, band holds {days} of {passing['spans']}."
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _events(title: str, events: Figures | None, rival: str) -> str:
    if not events:
        return ""
    return (
        f"{title}: {events['forecasts']} forecasts, {events['happened']} came true; Brier (0 to 1)"
        f' {events["brier"]:.3f} against {events["rival_brier"]:.3f} for "{rival}".'
    )


def _worst(each: Figures) -> str:
    return (
        f"{each['as_of']}, {each['product']}, {each['gate']} gate, +{each['days']} days: {each['said']:.2f} for"
        f" {each['came']}, which came; {each['said_stayed']:.2f} for {each['was']}, as it was."
    )


def _read_plainly(found: Figures) -> str:
    moved, softened = found["moved"], found["laws"][-1]
    value, low, high = softened["less_brier"]
    skill = "shows skill over" if high < 0 else "shows no skill over"
    return (
        f"Read plainly: where the state moved ({_percent(moved['share'])} of the targets) the score is"
        f" {decimals(moved['brier'], 2)}, where it stayed {decimals(moved['stayed_brier'], 2)}: nobody knew the"
        " direction, and most of the gain over the first two rivals is that this law admits that things move. By the"
        f" Brier score it {skill} {softened['law']} ({value:+.3f}, {low:+.3f} .. {high:+.3f}). The dates overlap in"
        f" what they forecast and hold about {found['episodes']} episodes, so the second decimal means little; half"
        " of the dates were chosen at news. The prior weight, the half-life and the tempo were picked among about"
        f" {found['variants']} variants on these same dates, and whoever drew the links knew 2025: expect the next"
        " dates to score somewhat worse."
    )


def _readings(found: Figures) -> str:
    laws = found["laws"]
    if len(laws[0]["by_reading"]) < 2:
        return ""
    rows = [
        (reading, *(decimals(law["by_reading"][reading], 3) for law in laws))
        for reading in laws[0]["by_reading"]
    ]
    return (
        f"### Other readings of the record\n\n{table(('reading', *(law['law'] for law in laws)), rows)}\n\n"
        "Brier on the same dates, known and happened both read that way."
    )
