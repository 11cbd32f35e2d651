"""A sample of `make fuzz`, and whether it finds what it looks for."""

import os
import time
from random import Random

import pytest

from executor.errors import BadInputError, UserMistakeError
from tests.fuzz import kinds, mutations, trial
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.mutations import SECRET

if not hasattr(os, "fork"):
    pytest.skip("the fuzzer forks its workers", allow_module_level=True)


def as_it_is(value, random):
    return value.encode() if isinstance(value, str) else value


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_damaged_is_accepted(monkeypatch, tmp_path, name):
    if name == "weights":
        pytest.importorskip("torch")
    for damage in ("damaged_document", "damaged_table", "damaged_bytes", "packed"):
        monkeypatch.setattr(kinds, damage, as_it_is)
    monkeypatch.setattr(kinds, "WITH", ["dear", "all"])
    if name == "settings":
        path = tmp_path / "waferlag.toml"
        path.write_text(kinds.SETTINGS)
        assert kinds.read_quietly(KINDS[name], path, Random(1)).lease_seconds == 45
        return
    refusals = []
    for number in range(20):
        path, random = trial.lay_out(KINDS[name], 1, number, name, tmp_path)
        try:
            kinds.read_quietly(KINDS[name], path, random)
        except UserMistakeError as refusal:
            refusals.append(str(refusal))
        if number - len(refusals) == 2:
            return
    pytest.fail(f"accepted: {20 - len(refusals)}; refused: {refusals}")


@pytest.mark.slow
def test_a_sample_of_damaged_inputs_is_accepted_or_refused():
    names = trial.warmed_up(list(KINDS))
    jobs = ((name, 6, range(first, first + 8)) for first in (0, 8, 16) for name in names)
    tally = trial.trial(jobs, processes=2)
    assert sum(tally.outcomes.values()) == 24 * len(names)
    assert "\n".join(map(str, tally.failures)) == ""


def crash(path, random):
    raise KeyError("x")


def spin(path, random):
    while True:
        pass


def devour(path, random):
    return bytearray(4 * 10**8)


def die(path, random):
    os._exit(9)


def wait(path, random):
    time.sleep(60)


def blab(path, random):
    raise BadInputError(f"wrong: {SECRET}")


def refuse(path, random):
    raise BadInputError("wrong")


@pytest.mark.parametrize(
    ("reader", "outcome"),
    [
        (crash, "escaped KeyError"),
        (spin, "hang"),
        (wait, "hang"),
        (devour, "memory"),
        (die, "died (9)"),
        (blab, "secret shown"),
    ],
)
def test_a_failure_is_found_with_what_is_needed_to_repeat_it(monkeypatch, reader, outcome):
    monkeypatch.setattr(trial, "KINDS", {"kind": Kind(lambda random: {"x": b""}, reader)})
    monkeypatch.setattr(trial, "LIMIT_S", 0.2)
    monkeypatch.setattr(trial, "PATIENCE_S", 1.0)
    tally = trial.trial(iter([("kind", 7, range(4, 5))]), processes=1)
    (failure,) = tally.failures
    assert (failure.kind, failure.seed, failure.number, failure.what) == ("kind", 7, 4, outcome)


def test_after_a_death_the_other_inputs_of_its_chunk_are_judged(monkeypatch):
    def read(path, random):
        if path.read_bytes() == b"2":
            os._exit(9)
        refuse(path, random)

    def make(random):
        return {"x": random.choice("0123").encode()}

    monkeypatch.setattr(trial, "KINDS", {"kind": Kind(make, read)})
    tally = trial.trial(iter([("kind", 7, range(12))]), processes=2)
    died = [n for n in range(12) if make(Random(f"kind:7:{n}"))["x"] == b"2"]
    assert died
    assert sorted(failure.number for failure in tally.failures) == died
    assert tally.outcomes["kind", "refused"] == 12 - len(died)


def test_the_same_seed_and_number_make_the_same_input():
    for kind in KINDS.values():
        assert kind.make(Random("a")) == kind.make(Random("a"))
    document = {"a": [1, {"b": "c"}]}
    made = {mutations.as_json(mutations.damaged_document(document, Random(n))) for n in range(50)}
    assert len(made) > 25
    assert document == {"a": [1, {"b": "c"}]}
