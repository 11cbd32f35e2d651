"""The documents keep up with the program: fields, verbs, options, words, targets and links."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tools.scenario_reference import reference_page
from waferlag.main import app

ROOT = Path(__file__).resolve().parent.parent
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = typer.main.get_command(app)
VERBS = sorted(COMMAND.commands)
CALL = re.compile(r"(?:^|[`$ ]|bin/)waferlag ((?:[^\n`|]|\|(?! ))+)")
MACHINE = re.compile(r"(?<![\w.:/])/(?:home|root|work|Users|mnt|tmp|opt|srv)/\w+")
"""A path that only one machine has."""


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_the_scenario_page_is_made_from_the_models():
    page = (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run `make docs`"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section_with_an_example(verb):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
    assert f"waferlag {verb}" in section, f"docs/commands.md lacks a section on {verb}"


def calls(path: Path) -> Iterator[list[str]]:
    """The words of every command that a document shows, in blocks and in backticks."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    for found in CALL.finditer(text):
        yield re.sub(r"\s#.*", "", found[1]).split()


@pytest.mark.parametrize("path", DOCS, ids=ids(DOCS))
def test_every_command_that_a_document_shows_exists(path):
    for words in calls(path):
        command = COMMAND
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if command is COMMAND and words and words[0].isupper():
            continue  # waferlag VERB
        if command is COMMAND:
            assert words[0].startswith("--"), f"{path.name}: no verb {words[0]!r}"
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        shown = {word.split("=")[0].rstrip(",.;:)") for word in words if word.startswith("--")}
        assert shown <= known | {"--help"}, f"{path.name}: waferlag {command.name} has no {shown - known}"


def test_every_target_of_make_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DOCS:
        for target in re.findall(r"[`$] ?make ([a-z]+)", path.read_text(encoding="utf-8")):
            assert target in targets, f"{path.name}: make {target}"


@pytest.mark.parametrize("path", DOCS, ids=ids(DOCS))
def test_every_link_within_the_repository_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCS, ids=ids(DOCS))
def test_no_document_names_a_path_of_one_machine(path):
    assert MACHINE.findall(path.read_text(encoding="utf-8")) == []


def test_every_word_of_the_glossary_is_used():
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = {term.strip() for found in re.findall(r"\*([^*\n]+)\*", glossary) for term in found.split(",")}
    assert len(terms) > 30
    other = [path for path in DOCS if path.name != "glossary.md"]
    sources = [
        path for name in ("waferlag", "planner", "executor", "dashboard") for path in (ROOT / name).rglob("*.py")
    ]
    text = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in [*other, *sources]).casefold()
    text = text.replace("-", " ").replace("_", " ")
    unused = [term for term in sorted(terms) if term.casefold().replace("-", " ") not in text]
    assert unused == [], "a word that nothing uses needs no definition"


def test_no_text_of_the_repository_names_a_path_of_one_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing says which files are the repository's")
    names = [name for name in listed.stdout.split("\0") if name.endswith((".py", ".md", ".yaml", ".toml", ".csv"))]
    paths = [
        ROOT / name for name in names if name.startswith(("waferlag/", "planner/", "executor/", "db/", "dashboard/"))
    ]
    found = {
        str(path.relative_to(ROOT)): MACHINE.findall(path.read_text(encoding="utf-8"))
        for path in paths
        if path.is_file()
    }
    assert {name: hits for name, hits in found.items() if hits} == {}
