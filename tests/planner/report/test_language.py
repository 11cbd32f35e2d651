import ast
import datetime as dt
import json
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboard
import planner.report
from executor.errors import UnknownNameError
from planner.report.language import Wording, displayable, shortened


def plain(text: str) -> str:
    """With ordinary spaces where numbers are bound to their units."""
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "0 CNY"),
        (999, "999 CNY"),
        (1_000, "1 k CNY"),
        (999_960, "1 M CNY"),
        (1_437_000, "1.44 M CNY"),
        (14_370_000, "14.4 M CNY"),
        (143_700_000, "144 M CNY"),
        (2.5e9, "2.5 bn CNY"),
        (-8_400_000, "−8.4 M CNY"),
    ],
)
def test_money_has_three_digits_and_a_magnitude(amount: float, said: str):
    assert plain(Wording().money(amount, "CNY")) == said


def test_chinese_money_counts_in_ten_thousands():
    assert plain(Wording("zh").money(1_437_000, "CNY")) == "144 万 CNY"


def test_a_probability_below_one_is_never_shown_as_one_hundred_percent():
    assert plain(Wording().percent(0.9996)) == "99.9 %"
    assert plain(Wording().percent(1.0)) == "100 %"


def test_a_date_after_the_horizon_says_so():
    assert Wording().day(None) == "after the horizon"
    assert plain(Wording().day(dt.date(2025, 8, 14))) == "14 Aug 2025"


def test_an_unknown_language_is_named_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="known: en, zh"):
        Wording("fr")


def test_direction_overrides_and_controls_do_not_reach_a_page():
    assert displayable("a\u202eb\u0007c\u200bd") == "abcd"


def test_what_is_written_right_to_left_is_set_apart():
    assert displayable("for مرحبا بك now") == "for \u2068مرحبا بك\u2069 now"


def test_emoji_joined_of_several_characters_stay_whole():
    assert displayable("👩\u200d🔧") == "👩\u200d🔧"


def test_a_long_name_is_cut_and_the_cut_is_shown():
    assert shortened("x" * 50, 10) == "x" * 9 + "…"


FOLDERS = [Path(package.__file__).parent for package in (dashboard, planner.report)]
CHINESE: dict[str, str] = json.loads((FOLDERS[1] / "words_zh.json").read_text(encoding="utf-8"))


def said_texts() -> Iterator[str]:
    """Every text that the packages say by ``say("...")``, ``words("...")`` or, in the language itself, ``self``."""
    for path in (path for folder in FOLDERS for path in sorted(folder.rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = node.func.func if isinstance(node.func, ast.Call) else node.func
            if isinstance(called, ast.Name) and called.id in ("say", "words", "self"):
                yield from texts(node.args[0])


def texts(node: ast.expr) -> Iterator[str]:
    """The text, or both texts of a choice."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_that_is_said_has_its_chinese_counterpart():
    assert sorted(set(said_texts()) - set(CHINESE)) == []


def test_a_chinese_text_puts_in_the_figures_of_its_english_text():
    assert {text: said for text, said in CHINESE.items() if places(said) != places(text)} == {}


def test_no_chinese_text_is_left_over():
    """Names and states that a page shows stand in the planner and the database; a fate is put together at run time."""
    packages = FOLDERS[1].parents[1]
    roots = [FOLDERS[0], packages / "planner", packages / "db"]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for root in roots for path in root.rglob("*.py")]
    said = {str(node.value) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(CHINESE) - said == {"{order}: refused.", "{order}: cancelled."}


def test_names_of_what_the_record_holds_as_ids_are_told_in_chinese():
    from dashboard.charts.theme import LABELS, STATES
    from planner.compare.single_future import PLACES
    from planner.report.sentences import LIMITS, POLICIES, VERDICTS

    told = {text for pair in POLICIES.values() for text in pair}
    assert {*STATES, *LABELS, *PLACES, *LIMITS.values(), *VERDICTS.values(), *told} <= set(CHINESE)


def test_an_unknown_text_stays_english():
    assert Wording("zh")("a text that nobody translated, {n}", n=3) == "a text that nobody translated, 3"
