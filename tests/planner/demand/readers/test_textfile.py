"""Text files from outside: packed or not, broken in every way."""

import gzip
import os

import pytest

from executor.errors import FileError, LimitError
from planner.demand.readers.textfile import Budget, number, read_json, read_lines, rows_under, whole


def test_plain_and_packed_files_read_alike(written, packed):
    text = "a\n\n b \n"
    assert list(read_lines(written(text))) == list(read_lines(packed(text))) == [(1, "a"), (3, "b")]


def test_a_byte_order_mark_is_no_part_of_the_text(written):
    assert list(read_lines(written(b"\xef\xbb\xbfa\n"))) == [(1, "a")]


def test_a_cut_off_gzip_is_told_with_its_mend(written):
    whole_file = gzip.compress(b"line\n" * 10_000)
    with pytest.raises(FileError, match=r"is a broken gzip file.*fetch or copy it again"):
        list(read_lines(written(whole_file[:-20])))


def test_rubbish_behind_a_gzip_signature_is_told(written):
    with pytest.raises(FileError, match="is a broken gzip file"):
        list(read_lines(written(b"\x1f\x8b" + b"rubbish" * 9)))


@pytest.mark.parametrize(
    ("content", "row"), [(b"\xff\xfe\x00", 1), (b"good\n\xb0\xa1\n", 2)], ids=["UTF-16", "GB 18030"]
)
def test_another_encoding_is_told_with_its_row(written, content, row):
    with pytest.raises(FileError, match=f"row {row}: is not UTF-8"):
        list(read_lines(written(content)))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n \n", gzip.compress(b"", mtime=0)],  # a header that holds the time would name each worker's test apart
    ids=["nothing", "blank lines", "nothing, packed"],
)
def test_an_empty_file_is_told(written, content):
    with pytest.raises(FileError, match="is empty"):
        list(read_lines(written(content)))


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        list(read_lines(tmp_path / "none"))
    with pytest.raises(FileError, match="cannot be read"):
        list(read_lines(tmp_path))


def test_a_small_file_that_unpacks_to_a_huge_one_stops_at_the_limit(written):
    bomb = written(gzip.compress(b"0" * 5_000_000))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(LimitError, match=r"above the limit of 1,000,000.*WAFERLAG_MAX_TRACE_BYTES"):
        list(read_lines(bomb, Budget(1_000_000)))


@pytest.mark.parametrize("found", [True, None, [1], {}, "x", "nan", "inf", float("nan"), -1, 10**400])
def test_what_is_no_number_of_0_or_more_is_refused(tmp_path, found):
    with pytest.raises(FileError, match="tokens must be a"):
        number(tmp_path, 3, "tokens", found)


def test_a_broken_number_is_no_count(tmp_path):
    assert whole(tmp_path, 1, "tokens", "12") == 12
    with pytest.raises(FileError, match="must be a whole number"):
        whole(tmp_path, 1, "tokens", 12.5)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1, "a": 2}', "[NaN]", "{"])
def test_what_is_no_json_or_beyond_its_bounds_is_told(written, text):
    with pytest.raises(FileError, match="is no JSON"):
        read_json(written(text))


def test_a_table_needs_its_header_its_cells_and_a_row(written):
    with pytest.raises(FileError, match="has another header"):
        list(rows_under(written("a;b\n1;2\n"), ("a", "b")))
    with pytest.raises(FileError, match="row 2: has 3 cells instead of 2"):
        list(rows_under(written("a,b\n1,2,3\n"), ("a", "b")))
    with pytest.raises(FileError, match="no rows"):
        list(rows_under(written("a,b\n"), ("a", "b")))


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FileError, match="cannot be read: it is a pipe, a device or a socket"):
            list(read_lines(path))


@pytest.mark.parametrize(
    ("limit", "message"), [("MAX_ROWS", "has more than 2 rows"), ("MAX_DOCUMENT", "of more than 2")]
)
def test_rows_and_lines_have_a_limit_of_their_own(monkeypatch, written, limit, message):
    monkeypatch.setattr(f"planner.demand.readers.textfile.{limit}", 2)
    with pytest.raises(FileError, match=message):
        list(read_lines(written("a\nb\nabc\n")))
