import os

import pytest

from db.goodputs import GoodputFolder
from executor.estimate.replayed_goodput import Answer

ANSWER = Answer(2.5, "TPOT bound: above it 89.9% meet it", 13.0, 270.0, 35.0)


def test_what_was_put_is_got_by_another_process(tmp_path):
    GoodputFolder(tmp_path / "new").put("a", ANSWER)
    assert GoodputFolder(tmp_path / "new").get("a") == ANSWER
    assert GoodputFolder(tmp_path / "new").get("b") is None
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"requests_per_s": 1.0}', '{"other": 1}'])
def test_a_file_that_is_broken_is_asked_again(tmp_path, text):
    folder = GoodputFolder(tmp_path)
    (tmp_path / "a.json").write_text(text)
    assert folder.get("a") is None
    folder.put("a", ANSWER)
    assert folder.get("a") == ANSWER


def test_a_folder_that_cannot_be_written_costs_time_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("")
    folder = GoodputFolder(tmp_path / "file")
    folder.put("a", ANSWER)
    assert folder.get("a") is None
    assert os.listdir(tmp_path) == ["file"]
