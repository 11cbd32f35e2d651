"""Which instants a cron expression means, in a time zone and across its changes.

A daily job at 02:30 runs once on the autumn day that has 02:30 twice, and at 03:00 on the spring day that has
no 02:30; an hourly one runs every hour of either day.
"""

import datetime as dt
import itertools
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from db.schedules import Slots
from executor.errors import UserMistakeError, did_you_mean

MOST_CAUGHT_UP = 100
"""After a long sleep at most so many instants are made up for: the newest ones."""
LONGEST = 200
"""Characters of an expression, and of a zone's name."""

FIVE = "give minute hour day month weekday, for example '0 7 * * MON' for Mondays at seven"

_WINDOWS = (3_600.0, 86_400.0, 40 * 86_400.0)
"""How far to look back for them, in seconds, before looking back all the way."""


class CronError(UserMistakeError):
    """A cron expression or a time zone that means nothing."""


def slots(cron: str, zone: str, first: float, now: float) -> Slots:
    """The instants from ``first`` up to ``now``, and the first one after it; seconds since 1970 UTC."""
    checked(cron, zone)
    passed: list[float] = []
    for window in (*_WINDOWS, float("inf")):
        begin = max(first, now - window)
        passed = _between(cron, zone, begin, now)
        if begin == first or len(passed) > MOST_CAUGHT_UP:
            break
    count = len(passed) if begin == first else _count(cron, zone, first, begin) + len(passed)
    return Slots(tuple(passed[-MOST_CAUGHT_UP:]), max(0, count - 1), next(instants(cron, zone, now), None))


def _between(cron: str, zone: str, begin: float, end: float) -> list[float]:
    """The instants from ``begin`` to ``end``, both included."""
    return [s for s in itertools.takewhile(lambda slot: slot <= end, instants(cron, zone, begin - 1)) if s >= begin]


def _count(cron: str, zone: str, begin: float, end: float) -> int:
    """How many instants there are from ``begin`` on and before ``end``.

    A day on which no clock changes, nor on the days beside it, has as many as minutes times hours say; the first and
    the last day, and those around a change, are counted one by one.
    """
    place = ZoneInfo(zone)
    fields = CronSim(cron, dt.datetime.fromtimestamp(begin, place))
    a_day = len(fields.minutes) * len(fields.hours)

    def midnight(day: dt.date) -> dt.datetime:
        return dt.datetime.combine(day, dt.time(), place)

    first, last = (dt.datetime.fromtimestamp(moment, place).date() for moment in (begin, end))
    total, day = 0, first
    while day <= last:
        around = {midnight(day + dt.timedelta(days=off)).utcoffset() for off in (-1, 0, 1, 2)}
        if first < day < last and len(around) == 1:
            total += a_day if fields.match_day(day) and day.month in fields.months else 0
        else:
            since = max(begin, midnight(day).timestamp())
            until = min(end, midnight(day + dt.timedelta(days=1)).timestamp())
            total += sum(slot < until for slot in _between(cron, zone, since, until))
        day += dt.timedelta(days=1)
    return total


def instants(cron: str, zone: str, after: float) -> Iterator[float]:
    """Every instant after a moment, in order, without end unless the expression has one."""
    local = CronSim(cron, dt.datetime.fromtimestamp(after, ZoneInfo(zone)))
    # Within the hour that comes twice, the local time of `after` can lie before an instant that has passed.
    return (slot for slot in (moment.timestamp() for moment in local) if slot > after)


def checked(cron: str, zone: str) -> None:
    """Raise :class:`CronError`, with the mend, for an expression or a zone that means nothing."""
    for option, text in (("--cron", cron), ("--zone", zone)):
        if len(text) > LONGEST:
            raise CronError(f"{option} has {len(text):,} characters: give at most {LONGEST}")
    if len(cron.split()) != 5:
        raise CronError(f"{cron!r} is no cron expression ({len(cron.split())} fields): {FIVE}")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = did_you_mean(zone, available_timezones())
        hint = f"did you mean {near}?" if near else "give an IANA name such as Asia/Shanghai or UTC"
        raise CronError(f"unknown time zone {zone!r} ({hint})") from error
    try:
        endless = next(instants(cron, zone, dt.datetime.now(dt.UTC).timestamp()), None)
    except CronSimError as error:
        raise CronError(f"{cron!r} is no cron expression ({error}): {FIVE}") from error
    if endless is None:
        raise CronError(f"{cron!r} never comes: no such day in the next 50 years")
