"""ServeGen: clients with rates and length histograms."""

import json
import tracemalloc

import numpy as np
import pytest

from executor.errors import FileError, LimitError
from planner.demand.readers.servegen import read_servegen
from planner.demand.summary import joint_lengths

HEADER = "client_id,timestamp,rate,cv,pat_name,pat_arg1,pat_arg2\n"
RATES = HEADER + "0,0,1.0,1.0,Gamma,1.0,1.0\n7,0,3.0,1.0,Weibull,1.0,0.33\n0,600,0,0,,0,0\n7,600,0,0,,0,0\n"


def lengths(client=0, **fields):
    return json.dumps(
        {"client_id": client, "timestamp": 0, "input_tokens": {"10": 1.0}, "output_tokens": {"5": 1.0}, **fields}
    )


def test_rates_of_all_clients_add_and_an_empty_window_is_a_gap(written):
    trace = read_servegen(written(RATES))
    assert trace.rates.rate[0] == 4.0
    assert np.isnan(trace.rates.rate[1])
    assert trace.rates.mean == 4.0
    assert trace.total_requests == 2400


def test_lengths_are_mixed_by_the_requests_of_their_clients(written):
    rates = written(RATES, "rates")
    both = written(
        lengths(0, input_tokens={"100": 1.0}) + "\n" + lengths(7, input_tokens={"20": 0.5, "40": 0.5}), "lengths"
    )
    joint = joint_lengths(read_servegen(rates, both).lengths)
    assert joint.input.mean == pytest.approx(0.25 * 100 + 0.75 * 30)
    assert joint.coverage == 1.0


def test_a_client_without_lengths_lowers_the_coverage(written):
    trace = read_servegen(written(RATES, "rates"), written(lengths(0), "lengths"))
    assert trace.lengths.coverage == 0.25


def test_images_add_to_the_text(written):
    line = json.dumps(
        {
            "client_id": 0, "timestamp": 0, "output_tokens": {"5": 1.0}, "text_tokens": {"100": 1.0},
            "image_tokens": {"500": 1.0}, "image_count": {"0": 0.5, "2": 0.5}, "audio_tokens": {"0": 1.0},
        }
    )  # fmt: skip
    trace = read_servegen(written(RATES, "rates"), written(line, "lengths"))
    assert sorted(trace.lengths.input.value) == [100, 1100]
    assert "images" in trace.lengths.pairing


def test_a_request_without_images_is_its_text(written):
    line = lengths(0, text_tokens={"100": 1.0}, image_tokens={}, image_count={"0": 1.0})
    trace = read_servegen(written(RATES, "rates"), written(line, "lengths"))
    assert trace.lengths.input.value.tolist() == [100]


def test_a_folder_as_published_reads_like_the_joined_files(tmp_path, written):
    folder = tmp_path / "model"
    folder.mkdir()
    for client, rows in {
        0: "0,1.0,1.0,Gamma,1.0,1.0\n600,0,0,,0,0\n",
        7: "0,3.0,1.0,Weibull,1.0,0.33\n600,0,0,,0,0\n",
    }.items():
        (folder / f"chunk-{client}-trace.csv").write_text(rows)
    (folder / "chunk-7-dataset.json").write_text(
        json.dumps({"0": {"input_tokens": "{20: 0.5, 40: 0.5}", "output_tokens": {"5": 1.0}}})
    )
    (folder / "notes.txt").write_text("no chunk")
    lines = written(lengths(7, input_tokens={"20": 0.5, "40": 0.5}), "lengths")
    joined = read_servegen(written(RATES, "rates"), lines, name="model")
    found = read_servegen(folder)
    assert found.name == joined.name
    assert found.rates.rate[0] == joined.rates.rate[0]
    assert joint_lengths(found.lengths) == joint_lengths(joined.lengths)
    assert found.burst == joined.burst


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("chunk-1-dataset.json", "[]", "must map seconds to histograms"),
        ("chunk-1-dataset.json", '{"0": []}', "second 0 must map fields to histograms"),
        ("chunk-1-dataset.json", '{"0": {"input_tokens": "__import__(\'os\')"}}', "input_tokens is no histogram"),
        ("chunk-1-trace.csv", "0,1.0,1.0,Gamma,1.0\n", "has 5 cells instead of 6"),
    ],
)
def test_a_wrong_chunk_is_told_with_its_file(tmp_path, name, text, message):
    (tmp_path / "chunk-1-trace.csv").write_text("0,1.0,1.0,Gamma,1.0,1.0\n")
    (tmp_path / name).write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        read_servegen(tmp_path)
    assert name in caught.value.path


def test_a_folder_without_chunks_and_a_table_without_traffic_are_told(tmp_path, written):
    with pytest.raises(FileError, match="has no chunk-N-trace"):
        read_servegen(tmp_path)
    with pytest.raises(FileError, match="has no traffic"):
        read_servegen(written(HEADER + "0,0,0,0,,0,0\n"))


def test_poisson_clients_are_a_poisson_stream_together(written):
    """Shape 1 of either law is exponential, and so is their superposition: CV 1."""
    rows = "".join(f"{client},0,5.0,1.0,{law},1.0,0.2\n" for client, law in enumerate(["Gamma", "Weibull"] * 3))
    cv = read_servegen(written(HEADER + rows)).burst.cv
    assert cv == pytest.approx(1.0, abs=0.05)  # about 18,000 gaps: standard error of a CV 1/sqrt(18000)


def test_one_gamma_client_keeps_its_own_variability(written):
    """One client: the CV of a Gamma law of shape k is 1/sqrt(k)."""
    cv = read_servegen(written(HEADER + "0,0,20.0,2.0,Gamma,0.25,0.2\n")).burst.cv
    assert cv == pytest.approx(2.0, rel=0.1)  # 12,000 heavy gaps, standard error about 4 per cent


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,0,-1,1,Gamma,1,1", "row 2: rate must be a finite number of 0 or more"),
        ("0,0,1,1,Normal,1,1", "pat_name must be Gamma, Weibull or empty"),
        ("0,0,1,1,Gamma,0,1", "pat_arg1 must be positive where there is traffic"),
        ("0,0,1,1,Gamma,1e-9,1", "pat_arg1 must lie between 0.001 and 100000"),
        ("0,7,1,1,Gamma,1,1", "timestamp must be a multiple of 600"),
        ("0,600000000000,1,1,Gamma,1,1", "timestamp must be a multiple of 600 up to"),
        ("0.5,0,1,1,Gamma,1,1", "client_id must be a whole number"),
        ("0,0,1,1,Gamma,1", "has 6 cells instead of 7"),
        ("0,0,1,1,Gamma,1,1\n0,0,1,1,Gamma,1,1", "row 3: client 0 has this window twice"),
    ],
)
def test_a_wrong_rate_is_told_with_its_row(written, row, message):
    with pytest.raises(FileError, match=message):
        read_servegen(written(HEADER + row + "\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (lengths(0, input_tokens={"10": 0.5}), "the probabilities of input_tokens must add to 1"),
        (lengths(0, input_tokens={"ten": 1.0}), "input_tokens must be a number"),
        (lengths(0, input_tokens={"-5": 1.0}), "input_tokens must be a finite number of 0 or more"),
        (lengths(0, output_tokens=[1]), "output_tokens must map lengths to probabilities"),
        (lengths(0, output_tokens={"5": "nan"}), "output_tokens must be a finite number"),
        ('{"client_id": 0, "timestamp": 0}', "has no output_tokens"),
        ('{"client_id": 0, "timestamp": 0, "output_tokens": {}}', "has no input_tokens"),
        ("[]", "must be a JSON object"),
        (lengths(5), "lengths for no client that sent a request"),
    ],
)
def test_a_wrong_length_record_is_told(written, line, message):
    with pytest.raises(FileError, match=message):
        read_servegen(written(RATES, "rates"), written(line, "lengths"))


def test_memory_follows_the_rows_and_not_clients_times_windows(written):
    """2,000 clients, one of them 400 days later: a table of both would take 920 MB."""
    rows = "".join(f"{client},0,0.001,1,Gamma,1,1\n" for client in range(2000)) + "0,34559400,1,1,Gamma,1,1\n"
    path = written(HEADER + rows)
    tracemalloc.start()
    trace = read_servegen(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert trace.rates.rate.size == 57_600
    assert peak < 30e6


def test_the_files_of_a_folder_share_one_limit(tmp_path):
    for client in range(3):
        (tmp_path / f"chunk-{client}-trace.csv").write_text("0,1.0,1.0,Gamma,1.0,1.0\n")  # 24 bytes each
    assert read_servegen(tmp_path, max_bytes=72).total_requests == 1800
    with pytest.raises(LimitError, match="above the limit of 71"):
        read_servegen(tmp_path, max_bytes=71)


def test_a_chunk_behind_a_link_that_leaves_the_folder_is_refused(tmp_path):
    folder = tmp_path / "trace"
    folder.mkdir()
    (tmp_path / "elsewhere.csv").write_text("0,1.0,1.0,Gamma,1.0,1.0\n")
    (folder / "chunk-1-trace.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(FileError, match="leads out of the folder"):
        read_servegen(folder)


@pytest.mark.parametrize(
    ("limit", "most", "message"), [("MAX_CLIENTS", 1, "more than 1 clients"), ("MAX_LENGTHS", 3, "more than 3 lengths")]
)
def test_more_than_any_trace_has_is_refused(monkeypatch, written, limit, most, message):
    monkeypatch.setattr(f"planner.demand.readers.servegen.{limit}", most)
    both = written(lengths(0) + "\n" + lengths(7), "lengths")
    with pytest.raises(FileError, match=message):
        read_servegen(written(RATES, "rates"), both)
