"""What tests of the verbs share: the command line run in this process."""

import sys

import pytest

from waferlag.main import main


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line with these words; gives (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["waferlag", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
