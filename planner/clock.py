"""The planner's clock: integer minutes since the scenario's first day; calendar months for reporting."""

import datetime as dt

MINUTES_PER_DAY = 24 * 60


def month_starts(start: dt.date, months: int) -> tuple[dt.date, ...]:
    """First day of each reported month: the scenario's start, then the firsts of the months that follow.

    >>> [str(day) for day in month_starts(dt.date(2025, 7, 16), 3)]
    ['2025-07-16', '2025-08-01', '2025-09-01']
    """
    first = start.year * 12 + start.month - 1
    rest = (dt.date((first + n) // 12, (first + n) % 12 + 1, 1) for n in range(1, months))
    return (start, *rest) if months > 0 else ()


def month_label(day: dt.date) -> str:
    """YYYY-MM."""
    return f"{day.year:04d}-{day.month:02d}"


def minutes(start: dt.date, day: dt.date) -> int:
    """Minutes from the scenario's first day to another day's beginning."""
    return (day - start).days * MINUTES_PER_DAY


def day_of(start: dt.date, minute: float) -> dt.date:
    """The day in which a minute of the planner's clock falls."""
    return start + dt.timedelta(days=int(minute // MINUTES_PER_DAY))
