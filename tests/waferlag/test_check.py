"""`waferlag check`, `schema` and `scenarios`: what is said of a file before anything is computed."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from planner.scenario.load import common_overrides, read, shipped
from waferlag.text.tables import displayed_width

WRONG = [float("nan"), float("inf"), -float("inf"), -1, 1e308, 10**30, "x", True, [], {}]
"""None of these is a good value of any number that the small scenario writes."""


def validator(command):
    code, out, err = command("schema")
    assert (code, err) == (0, "")
    return jsonschema.Draft202012Validator(json.loads(out))


def as_json(document: Any) -> Any:
    """Dates as text: what a JSON document would hold."""
    return json.loads(json.dumps(document, default=str))


def test_the_schema_accepts_every_shipped_scenario(command):
    schema = validator(command)
    for name, path in shipped().items():
        found = [f"{list(error.absolute_path)}: {error.message}" for error in schema.iter_errors(as_json(read(path)))]
        assert found == [], name


@pytest.mark.parametrize(
    "edit",
    [
        lambda body: body.update(horizon_month=3),
        lambda body: body.update(horizon_months=0),
        lambda body: body.update(horizon_months="soon"),
        lambda body: body["sources"][0].update(prepayment=1.5),
        lambda body: body["sources"][0].update(price=-1),
        lambda body: body["gates"][0].update(always="ajar"),
        lambda body: body.pop("goal"),
    ],
)
def test_the_schema_refuses_what_check_refuses(command, tiny, edit):
    path = tiny(edit)
    assert not validator(command).is_valid(as_json(yaml.safe_load(path.read_text())))
    assert command("check", path)[0] == 2


@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_scenario_checks(command, name):
    code, out, err = command("check", name)
    assert (code, err) == (0, "")
    assert out.startswith(f"{name} is good: ")
    assert max(map(displayed_width, out.splitlines())) <= 80


@pytest.mark.parametrize("override", list(common_overrides()))
def test_every_common_override_can_be_checked_by_name(command, override):
    code, out, _ = command("check", "2-h20-july-2025", "--with", override)
    assert code == 0
    assert f"overrides {override}" in out


def numbers(body: Any, path: tuple[Any, ...] = ()):
    """Paths of the numbers in a document."""
    pairs = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in pairs:
        if isinstance(value, dict | list):
            yield from numbers(value, (*path, key))
        elif isinstance(value, int | float):
            yield (*path, key)


@pytest.mark.slow
def test_no_number_of_a_scenario_may_be_endless_negative_huge_or_of_another_kind(command, tiny):
    places = list(numbers(yaml.safe_load(tiny().read_text())))
    assert len(places) > 15
    for place in places:
        for value in WRONG:

            def put(body: Any, place: tuple[Any, ...] = place, value: object = value) -> None:
                for key in place[:-1]:
                    body = body[key]
                body[place[-1]] = value

            code, out, err = command("check", tiny(put))
            assert (code, out) == (2, ""), (place, value)
            assert str(place[-1]) in err, (place, value, err)


def test_a_number_too_large_for_a_float_is_refused(command, tiny):
    path = tiny()
    path.write_text(path.read_text().replace("price: 20000", "price: 1.0e+400"))
    code, _, err = command("check", path)
    assert code == 2
    assert "sources.0.price.amount: input should be a finite number" in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("two\nlines", "U+000A"),
        ("red\x1b[31m", "U+001B"),
        ("nul\0", "U+0000"),
        ("tab\t", "U+0009"),
        ("\u202eturned", "U+202E"),
        (" padded", "begin or end with a blank"),
        ("", "at least 1 character"),
        ("x" * 121, "at most 120 characters"),
        ("\ud800", "unicode"),
    ],
)
def test_a_name_that_cannot_be_shown_on_one_line_is_refused(command, tiny, name, said):
    path = tiny(name="hostile.json")
    body = yaml.safe_load(path.read_text())
    body["pools"][0]["name"] = name
    path.write_text(json.dumps(body, default=str))
    code, out, err = command("check", path)
    assert (code, out) == (2, "")
    assert "pools.0.name: " in err
    assert said in err
    assert err.isprintable() or "\n" in err
    assert not set(err) & {"\x1b", "\0", "\t", "\u202e"}


NAMES = ["<script>alert(1)</script>", "🐈\u200d⬛ chat", "مجموعة", "推理集群" * 20, "e\u0301" * 40, "x" * 120, "a|b`c`"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_any_printable_name_is_shown_within_80_columns(command, tiny, name):
    def rename(body: Any) -> None:
        body["pools"][0]["name"] = body["fleet"][0]["pool"] = name
        body["sources"][0]["name"] = name
        body["title"] = name

    path = tiny(rename, horizon_months=4)  # the width of the tables is the point, not their length
    for words in (["check", path], ["size", path], ["plan", path, "--no-save", "--quiet"]):
        code, out, err = command(*words)
        assert (code in (0, 1), err) == (True, "")
        assert max(map(displayed_width, out.split("Run again")[0].splitlines())) <= 80


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("H20-96GB", "H20-69GB"), "unknown GPU 'H20-69GB' (did you mean H20-96GB?)"),
        (("Qwen3-32B", "Qwen3-23B"), "Qwen/Qwen3-32B"),
        (("servegen-m-large", "servegen-m-lage"), "did you mean servegen-m-large?"),
        (("servegen-m-large", "none.jsonl"), "cannot be read: No such file"),
        (("servegen-m-large", "/etc/passwd"), "lies outside the scenario's folder"),
        (("horizon_months", "horizon_month"), "did you mean horizon_months?"),
        (("engine: fast", "engine: quick"), "run.engine: input should be 'simpy' or 'fast' (got 'quick')"),
        (("2025-07-16", "2025-13-45"), "month must be in 1..12"),
        (("2025-07-16", "9999-12-31"), "start: "),
        (("2025-07-16", "0001-01-01"), "start: "),
        (("horizon_months: 8", "horizon_months: !!int abc"), "'abc' is no int"),
        (("horizon_months: 8", "horizon_months: !!bool abc"), "'abc' is no bool"),
        (("horizon_months: 8", "horizon_months: !!int _"), "'_' is no int"),
        (("horizon_months: 8", "horizon_months: 0x" + "f" * 5000), "a number of more than 100 digits"),
        (("horizon_months: 8", "horizon_months: " + "9" * 5000), "a number of more than 100 digits"),
    ],
)
def test_a_wrong_word_or_value_is_told_with_its_place(command, tiny, change, said):
    path = tiny()
    text = path.read_text()
    assert change[0].replace("'", "") in text.replace("'", "")
    path.write_text(text.replace("'2025-07-16'", "2025-07-16").replace(*change))
    code, out, err = command("check", path)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds nothing"),
        (b"- a\n", "holds a list"),
        (b"hello", "holds a str"),
        (b"name: caf\xe9\n", "is not UTF-8 (byte 9)"),
        ("name: a\n".encode("utf-16"), "is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is not UTF-8"),
        (b"name: a\0b\n", "is not valid YAML"),
        (b"x: " + b"y" * 2_000_000, "is larger than 1,000,000 bytes"),
        (b"a: " + b"[" * 100_000, "is nested too deeply"),
        (b"a: &a [1]\nb: *a\n", "aliases are not allowed"),
        (b"name: a\nname: b\n", "row 2: is not valid YAML: key 'name' given twice"),
        (b"a: !!python/object/apply:os.system ['true']\n", "is a tag that a scenario may not use"),
        (b"? [a, b]\n: 3\n", "unhashable key"),
        (b"a: 1\n---\nb: 2\n", "another document"),
        (b"1: 2\n", "keys should be strings"),
    ],
)
def test_a_hostile_file_gets_one_message_and_no_traceback(command, tmp_path, content, said):
    path = tmp_path / "hostile.yaml"
    path.write_bytes(content)
    code, out, err = command("check", path)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1-quikstart", "did you mean 1-quickstart?"),
        ("1-quikstart.yaml", "did you mean the shipped scenario 1-quickstart?"),
        ("", "unknown scenario ''"),
        ("a\0b", "unknown scenario"),
        ("a" * 5000, "unknown scenario"),
        ("a" * 5000 + ".yaml", "no such file"),
        (".", "is a folder"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(command, name, said):
    code, out, err = command("check", name)
    assert (code, out) == (2, "")
    assert said in err


def test_a_key_given_twice_in_json_is_refused(command, tmp_path):
    path = tmp_path / "twice.json"
    path.write_text('{"name": "a", "name": "b"}')
    assert "key 'name' given twice" in command("check", path)[2]


def test_the_shipped_scenarios_are_listed_and_can_be_copied(command, tmp_path):
    code, out, _ = command("scenarios")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(shipped())
    assert command("scenarios", "--copy", "1-quickstart", "--to", tmp_path)[0] == 0
    assert (tmp_path / "1-quickstart.yaml").read_bytes() == shipped()["1-quickstart"].read_bytes()
    code, _, err = command("scenarios", "--copy", "1-quickstart", "--to", tmp_path)
    assert code == 2
    assert "exists already" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--copy", "1-quikstart"], "did you mean 1-quickstart?"),
        (["--copy", "1-quickstart", "--to", "no/such/folder"], "its folder does not exist"),
    ],
)
def test_a_copy_that_cannot_be_made_is_told(command, words, said):
    code, out, err = command("scenarios", *words)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--overrides", "demand-doubles"),
        ("--gpus", "H20-96GB"),
        ("--models", "Qwen/Qwen3-32B"),
        ("--traces", "servegen-m-large"),
    ],
)
def test_the_names_that_a_scenario_may_use_are_listed(command, option, name):
    code, out, _ = command("scenarios", option)
    assert code == 0
    assert name in out.splitlines()


def test_a_limit_of_the_settings_is_told(command, tiny, monkeypatch):
    from waferlag.settings import settings

    monkeypatch.setenv("WAFERLAG_MAX_HORIZON_MONTHS", "6")
    settings.cache_clear()
    try:
        code, _, err = command("check", tiny())
    finally:
        settings.cache_clear()
    assert code == 2
    assert "horizon_months: 8 is above the limit of 6 (raise WAFERLAG_MAX_HORIZON_MONTHS to allow it)" in err


def test_the_folder_of_the_shipped_scenarios_holds_nothing_that_is_not_listed():
    folder = next(iter(shipped().values())).parent
    assert {path.name for path in Path(folder).glob("*.yaml")} == {f"{name}.yaml" for name in shipped()} | {
        "overrides.yaml"
    }
