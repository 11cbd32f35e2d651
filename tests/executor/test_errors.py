"""The user's mistakes carry place, value found and mend."""

import doctest

import pytest

import executor.errors
import planner.scenario.errors
from executor.errors import (
    FileError,
    LimitError,
    Problem,
    UnknownNameError,
    UserMistakeError,
    WaferlagError,
    did_you_mean,
)
from planner.scenario.errors import ScenarioError


def test_the_examples_in_the_docstrings_hold():
    for module, examples in ((executor.errors, 4), (planner.scenario.errors, 1)):
        result = doctest.testmod(module)
        assert result.attempted >= examples
        assert result.failed == 0


def test_a_scenario_error_tells_every_problem_at_once_in_the_form_of_the_style_guide():
    error = ScenarioError(
        "quickstart.yaml",
        [
            Problem("vendors.0.lead_time_days", "Input should be greater than or equal to 0", found=-12),
            Problem("vendors.1.leadtime_days", "Extra inputs are not permitted", mend="did you mean lead_time_days?"),
        ],
    )
    assert str(error) == (
        "quickstart.yaml has 2 problem(s):\n"
        "  vendors.0.lead_time_days: Input should be greater than or equal to 0 (got -12)\n"
        "  vendors.1.leadtime_days: Extra inputs are not permitted (did you mean lead_time_days?)"
    )


@pytest.mark.parametrize(
    "error",
    [
        ScenarioError("a.yaml", [Problem("x", "wrong")]),
        UnknownNameError("GPU", "H21", ["H20-96GB"]),
        FileError("a.csv", "is empty"),
        LimitError("replications", 2, 1, "WAFERLAG_MAX_REPLICATIONS"),
    ],
)
def test_every_mistake_of_the_user_exits_with_2_and_is_caught_as_one_family(error):
    assert error.exit_code == 2
    assert isinstance(error, UserMistakeError)
    assert isinstance(error, WaferlagError)


def test_what_is_not_the_users_mistake_exits_with_3():
    assert WaferlagError("broken").exit_code == 3


def test_many_known_names_are_listed_only_when_none_is_near():
    known = [f"model-{number}" for number in range(40)]
    assert "known:" not in str(UnknownNameError("model", "model-3x", known))
    assert "model-39" in str(UnknownNameError("model", "zzz", known))


def test_the_nearest_name_is_found_whatever_the_case():
    assert did_you_mean("ascend-910c", ["Ascend-910B", "Ascend-910C"]) == "Ascend-910C"
    assert did_you_mean("qqq", ["Ascend-910B"]) is None


def test_a_huge_value_is_cut_to_one_short_line():
    message = str(FileError("a.csv", "wrong", row=1, found="x\n" * 100_000))
    assert len(message) < 250
    assert "\n" not in message
