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
"""After a long sleep at most so many instants are made up for, and counted: the newest ones."""

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
        passed = list(itertools.takewhile(lambda slot: slot <= now, instants(cron, zone, begin - 1)))
        if begin == first or len(passed) > MOST_CAUGHT_UP:
            break
    passed = [slot for slot in passed if slot >= first]
    due = tuple(passed[-MOST_CAUGHT_UP:])
    return Slots(due, max(0, len(passed) - 1), next(instants(cron, zone, now), None))


def instants(cron: str, zone: str, after: float) -> Iterator[float]:
    """Every instant after a moment, in order, without end unless the expression has one."""
    local = CronSim(cron, dt.datetime.fromtimestamp(after, ZoneInfo(zone)))
    # Within the hour that comes twice, the local time of `after` can lie before an instant that has passed.
    return (slot for slot in (moment.timestamp() for moment in local) if slot > after)


def checked(cron: str, zone: str) -> None:
    """Raise :class:`CronError`, with the mend, for an expression or a zone that means nothing."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = did_you_mean(zone, available_timezones())
        hint = f"did you mean {near}?" if near else "give an IANA name such as Asia/Shanghai or UTC"
        raise CronError(f"unknown time zone {zone!r} ({hint})") from error
    try:
        endless = next(instants(cron, zone, dt.datetime.now(dt.UTC).timestamp()), None)
    except CronSimError as error:
        raise CronError(
            f"{cron!r} is no cron expression ({error}): give minute hour day month weekday, for example "
            "'0 7 * * MON' for Mondays at seven"
        ) from error
    if endless is None:
        raise CronError(f"{cron!r} never comes: no such day in the next 50 years")
