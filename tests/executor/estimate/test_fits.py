"""Fits that ship: what they hold is what a fit of today gives, and none is taken for another."""

import json
from dataclasses import replace

import numpy as np
import pytest

import executor.estimate.fits as module
from executor.estimate.calibration import calibrate, from_prior, prior_belief
from executor.estimate.fits import TABLE, fit_key, read, shipped_fit, written
from executor.estimate.measured_points import by_group, shipped_points
from executor.reference import SHIPPED

GROUPS = by_group(shipped_points())


def same(one, other):
    assert one.rows == other.rows
    assert [mode.weight for mode in one.modes] == [mode.weight for mode in other.modes]
    for ours, theirs in zip(one.modes, other.modes, strict=True):
        np.testing.assert_array_equal(ours.theta, theirs.theta)
        np.testing.assert_array_equal(ours.covariance, theirs.covariance)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_a_shipped_fit_is_the_fit_of_today_to_the_last_bit(group):
    """Else it is stale: raise executor.estimate.fits.VERSION and run ``make tables``."""
    rows = GROUPS[group]
    shipped = shipped_fit(rows)
    assert shipped is not None
    same(shipped, calibrate(rows, prior_belief(rows[0].setup)))


def test_rows_that_ship_are_not_fitted_again(monkeypatch):
    monkeypatch.setattr("executor.estimate.calibration.calibrate", lambda *_: pytest.fail("fitted again"))
    rows = next(iter(GROUPS.values()))
    assert from_prior(rows) is shipped_fit(rows)


def test_rows_of_a_users_own_are_fitted():
    rows = next(iter(GROUPS.values()))
    own = [replace(row, tpot_ms=row.tpot_ms * 1.1) for row in rows]
    assert shipped_fit(own) is None
    assert shipped_fit([]) is None
    assert not np.array_equal(from_prior(own).theta, from_prior(rows).theta)


def test_what_a_fit_depends_on_is_in_its_key(monkeypatch):
    rows = next(iter(GROUPS.values()))
    keys = {
        fit_key(rows),
        fit_key(rows[:-1]),
        fit_key([replace(row, ttft_ms=row.ttft_ms + 1) for row in rows]),
        fit_key([replace(row, load=replace(row.load, concurrency=row.load.concurrency + 1)) for row in rows]),
    }
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    keys.add(fit_key(rows))
    monkeypatch.setattr(module, "priors_version", lambda: "another")
    keys.add(fit_key(rows))
    assert len(keys) == 6
    assert len({fit_key(each) for each in GROUPS.values()}) == len(GROUPS)


def test_a_calibration_goes_to_json_and_back_without_loss():
    made = shipped_fit(next(iter(GROUPS.values())))
    same(read(json.loads(json.dumps(written(made)))), made)


def test_a_table_of_another_version_is_not_used(monkeypatch):
    assert json.loads((SHIPPED / TABLE).read_text(encoding="utf-8"))["version"] == module.VERSION
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert module._shipped.__wrapped__() == {}
