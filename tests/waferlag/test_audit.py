"""`waferlag audit`: a plan's promise on fresh futures."""

import pytest

from executor.estimate import replayed_goodput


@pytest.fixture
def own_set_up(tiny, tmp_path, monkeypatch):
    """A scenario that no shipped goodput answers, in a user's folders of its own."""
    monkeypatch.setenv("WAFERLAG_DB", f"sqlite:///{tmp_path / 'own.sqlite'}")
    monkeypatch.setenv("WAFERLAG_GOODPUT_FOLDER", str(tmp_path / "goodput"))
    return tiny(lambda body: body["pools"][0]["slo"].update(tpot_ms=61.5))


def test_a_goodput_that_the_plan_replayed_is_found_again(command, own_set_up, tmp_path, monkeypatch):
    plan = tmp_path / "plan.json"
    words = ("--no-save", "--quiet", "--replications", 50, "--json", plan)
    code, _, err = command("plan", own_set_up, *words)
    assert code in (0, 1), err
    assert list((tmp_path / "goodput").iterdir()), "the plan's own set-up was replayed and kept"

    replayed_goodput._found.cache_clear()  # another process knows nothing of the first
    monkeypatch.setattr(replayed_goodput, "replayed", lambda asked: pytest.fail("replayed again"))
    code, out, err = command("audit", plan, "--replications", 50, "--quiet")
    assert code == 0, err
    assert "stated" in out
