"""Instants of cron expressions on a fixed clock, through the days on which clocks change."""

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest

from waferlag.worker.cron import MOST_CAUGHT_UP, CronError, checked, instants, slots

PARIS = ZoneInfo("Europe/Paris")
# In 2025 Paris goes from 02:00 to 03:00 on 30 March and from 03:00 back to 02:00 on 26 October (IANA tzdata).


def _at(*parts: int, zone: dt.tzinfo = PARIS, fold: int = 0) -> float:
    return dt.datetime(*parts, tzinfo=zone, fold=fold).timestamp()


def _local(seconds: float, zone: dt.tzinfo = PARIS) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, zone):%m-%d %H:%M%z}"


def test_a_daily_job_runs_once_on_the_autumn_day_that_has_its_time_twice():
    found = slots("30 2 * * *", "Europe/Paris", _at(2025, 10, 25, 2, 30), _at(2025, 10, 27, 12))
    assert [_local(slot) for slot in found.due] == ["10-25 02:30+0200", "10-26 02:30+0200", "10-27 02:30+0100"]


def test_between_the_two_half_past_twos_the_next_one_is_tomorrow():
    second_ten_past_two = _at(2025, 10, 26, 2, 10, fold=1)
    found = slots("30 2 * * *", "Europe/Paris", second_ten_past_two, second_ten_past_two)
    assert found.due == ()
    assert _local(found.next_at) == "10-27 02:30+0100"


def test_a_daily_job_runs_at_three_on_the_spring_day_that_lacks_its_time():
    found = slots("30 2 * * *", "Europe/Paris", _at(2025, 3, 29, 2, 30), _at(2025, 3, 31, 12))
    assert [_local(slot) for slot in found.due] == ["03-29 02:30+0100", "03-30 03:00+0200", "03-31 02:30+0200"]


def test_a_moved_instant_is_found_again_from_itself():
    """What was stored as the next instant must be due when its time comes."""
    three = _at(2025, 3, 30, 3, 0)
    assert slots("30 2 * * *", "Europe/Paris", three, three).due == (three,)


def test_an_hourly_job_runs_every_hour_of_both_days():
    autumn = slots("0 * * * *", "Europe/Paris", _at(2025, 10, 26, 0), _at(2025, 10, 26, 23, 59))
    spring = slots("0 * * * *", "Europe/Paris", _at(2025, 3, 30, 0), _at(2025, 3, 30, 23, 59))
    assert (len(autumn.due), len(spring.due)) == (25, 23)
    for found in (autumn, spring):
        assert {b - a for a, b in zip(found.due, found.due[1:], strict=False)} == {3600.0}


def test_a_zone_is_read_as_the_place_and_not_as_an_offset():
    shanghai = slots("0 9 * * MON", "Asia/Shanghai", 0, _at(2025, 7, 14, 9, zone=ZoneInfo("Asia/Shanghai")))
    assert _local(shanghai.due[-1], dt.UTC) == "07-14 01:00+0000"


def test_nothing_is_due_before_the_first_instant():
    nine = _at(2025, 7, 14, 9)
    found = slots("0 9 * * *", "Europe/Paris", nine, nine - 1)
    assert (found.due, found.missed, found.next_at) == ((), 0, nine)


def test_five_missed_instants_are_all_known():
    found = slots("0 9 * * *", "Europe/Paris", _at(2025, 7, 10, 9), _at(2025, 7, 15, 8))
    assert (len(found.due), found.missed) == (5, 4)
    assert _local(found.due[-1]) == "07-14 09:00+0200"


@pytest.mark.timeout(10)
def test_after_years_of_sleep_only_the_newest_instants_are_looked_at():
    found = slots("* * * * *", "UTC", 0, _at(2025, 7, 14, 9, zone=dt.UTC))
    assert len(found.due) <= MOST_CAUGHT_UP
    assert found.due[-1] == _at(2025, 7, 14, 9, zone=dt.UTC)


@pytest.mark.parametrize(
    ("days", "missed"), [(3, 3 * 1440), (3 * 365, 3 * 365 * 1440), (12_000, 12_000 * 1440)], ids=lambda n: str(n)
)
def test_missed_instants_are_counted_whatever_their_number(days, missed):
    now = _at(2025, 7, 14, 9, zone=dt.UTC)
    assert slots("* * * * *", "UTC", now - days * 86_400, now).missed == missed


@pytest.mark.parametrize("zone", ["Europe/Paris", "Australia/Lord_Howe", "America/Havana", "America/Sao_Paulo"])
@pytest.mark.parametrize("cron", ["*/30 * * * *", "30 2 * * *", "15 */3 * * *", "0 0 1 * MON", "*/7 0-3 * * 1#2"])
def test_counting_by_days_gives_what_counting_one_by_one_gives(cron, zone):
    now = _at(2025, 11, 20, 13, 7, zone=dt.UTC)
    first = now - 400 * 86_400
    one_by_one = sum(1 for _ in itertools.takewhile(lambda slot: slot <= now, instants(cron, zone, first - 1)))
    assert slots(cron, zone, first, now).missed == one_by_one - 1


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("* * * * * *", "UTC", "6 fields"),
        ("* * * *", "UTC", "4 fields"),
        ("1" * 5000 + " * * * *", "UTC", "--cron has 5,008 characters: give at most 200"),
        ("0 9 * * *", "a" * 5000, "--zone has 5,000 characters"),
        ("every monday", "UTC", "no cron expression"),
        ("61 * * * *", "UTC", "no cron expression"),
        ("", "UTC", "no cron expression"),
        ("0 0 31 2 *", "UTC", "31"),
        ("0 9 * * *", "Asia/Shanghia", "did you mean Asia/Shanghai"),
        ("0 9 * * *", "../../etc/passwd", "unknown time zone"),
        ("0 9 * * *", "", "unknown time zone"),
    ],
)
def test_an_expression_or_zone_that_means_nothing_is_refused_with_the_mend(cron, zone, says):
    with pytest.raises(CronError, match=says) as raised:
        checked(cron, zone)
    assert raised.value.exit_code == 2
