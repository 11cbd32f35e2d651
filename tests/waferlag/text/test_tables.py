"""Text on a terminal: its cells, lines of 80 of them, tables that fit, and nothing that steers it."""

import subprocess
import sys

import pytest

from waferlag.text.tables import WIDTH, cut, displayed_width, plain, table, wrapped

LONG = ["word " * 60, "推理集群" * 30, "x" * 250, "e\u0301 " * 120, "🐈\u200d⬛" * 60, "one\ntwo\tthree"]


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("推理", 4), ("e\u0301", 1), ("🐈", 2), ("🐈\u200d", 2), ("", 0)]
)
def test_wide_characters_take_two_cells_and_joining_ones_none(text, cells):
    assert displayed_width(text) == cells


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("bullet", ["", "- ", "  推理 "])
def test_wrapped_lines_fit_and_lose_nothing(text, bullet):
    lines = wrapped(text, bullet)
    assert max(map(displayed_width, lines)) <= WIDTH
    squeezed = "".join("".join(lines).removeprefix(bullet).split())
    assert squeezed == plain("".join(text.split()))


def test_a_text_without_words_is_its_bullet():
    assert wrapped("") == [""]
    assert wrapped("  ", "- ") == ["-"]


@pytest.mark.parametrize("text", LONG[:-1])
@pytest.mark.parametrize("width", [1, 2, 9, 40])
def test_a_cut_text_fits_and_shows_that_it_was_cut(text, width):
    found = cut(text, width)
    assert displayed_width(found) <= width
    assert found.endswith("…")
    assert text.startswith(found[:-1])


def test_a_text_that_fits_is_not_cut():
    assert cut("推理", 4) == "推理"


def test_control_characters_and_turns_of_direction_become_question_marks():
    assert plain("a\x1b[31m\u202eb\0\n\u200d推") == "a?[31m?b?\n\u200d推"


def test_columns_of_words_give_way_and_figures_do_not():
    rows = [["x" * 90, "1,234/5,678/9,012", "推理" * 40], ["short", "8", "b"]]
    found = table(["name", "GPUs", "for"], rows, right=[1])
    assert max(map(displayed_width, found.splitlines())) == WIDTH
    assert "1,234/5,678/9,012" in found
    assert found.count("…") == 2


def test_columns_stand_under_one_another_with_wide_characters():
    found = table(["name", "n"], [["推理", "1"], ["ab", "22"]], right=[1]).splitlines()
    assert {displayed_width(line) for line in found} == {8}


def test_a_cell_is_one_line():
    assert len(table(["a"], [["one\ntwo"]]).splitlines()) == 3


def test_a_reader_that_left_does_not_stop_the_work():
    script = (
        "import sys; from waferlag.main import _open_streams; from waferlag.text.tables import say\n"
        "_open_streams()\n"
        "sys.stdin.readline()\n"
        "for n in range(3): say('line')\n"
        "print('done', file=sys.stderr)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdout.close()  # the reader leaves before the first line
    _, err = running.communicate("go\n", timeout=60)
    assert (running.returncode, err) == (0, "done\n")
