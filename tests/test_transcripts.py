"""What README and docs/commands.md show is what the commands print."""

import pytest

from tools.transcripts import FILES, PAGES, REFUSED, Transcript, prepare, renewed_page, transcripts


@pytest.fixture
def run(command, monkeypatch, tmp_path):
    """A command in a folder of its own, with the files that the documents name; gives what it says."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("WAFERLAG_DB", f"sqlite:///{tmp_path}/shown.sqlite")

    def call(words):
        code, out, err = command(*words)
        return err if code == REFUSED else out

    return call


COMMANDS = PAGES[1]
DEAR = ("plan", "audit")
"""Half a minute on docs/commands.md: with `make soak`. The README's plan is held where it is made anyway
(test_processors.py)."""


@pytest.mark.slow
@pytest.mark.parametrize("left_alone", [DEAR, pytest.param((), marks=pytest.mark.soak)])
def test_the_page_shows_what_its_commands_print(left_alone, run):
    page = COMMANDS.read_text(encoding="utf-8")
    assert renewed_page(page, run, left_alone) == page, "run `make docs`"


def test_the_pages_show_commands_that_print_the_same_each_time():
    shown = {
        each.words[0] for path in PAGES for each in transcripts(path.read_text(encoding="utf-8")) if each.repeatable
    }
    assert {"plan", "audit", "simulate", "size", "estimate", "replay", "hindcast", "check", "scenarios"} <= shown
    assert all(any(name in path.read_text(encoding="utf-8") for path in PAGES) for name in FILES)


def test_a_block_holds_several_commands_and_lines_left_out_stay_out():
    page = "```console\n$ waferlag check a\nfine\n$ waferlag size b\none\ntwo\n[...]\n```\n"
    first, second = transcripts(page)
    assert first == Transcript("waferlag check a", "fine\n")
    assert second.renewed("1\n2\n3\n4\n") == "1\n2\n[...]\n"
    assert renewed_page(page, lambda words: "new\n" * 4) == (
        "```console\n$ waferlag check a\nnew\nnew\nnew\nnew\n$ waferlag size b\nnew\nnew\n[...]\n```\n"
    )
