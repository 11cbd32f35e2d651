"""`waferlag measure` against the engine behind an OpenAI-compatible server, and the profiles that it leaves."""

import json
import socket
import threading
import time

import pytest

pytest.importorskip("torch")
uvicorn = pytest.importorskip("uvicorn")
starlette = pytest.importorskip("starlette.applications")

import torch  # noqa: E402
from starlette.responses import JSONResponse, StreamingResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from executor.engine.engine import Engine, Settings  # noqa: E402
from executor.engine.sampling import Sampling  # noqa: E402
from executor.model.spec import from_hf_config  # noqa: E402

TINY = {
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "vocab_size": 128,
    "max_position_embeddings": 512,
}


def application(engine, refuse_from):
    """One request at a time on the engine; from the ``refuse_from``-th on the server is overloaded."""
    turn, seen = threading.Lock(), []

    async def completions(request):
        body = await request.json()
        seen.append(body)
        if len(seen) >= refuse_from:
            return JSONResponse({"error": "overloaded"}, status_code=429)

        def events():
            with turn:
                prompt, tokens = body["prompt"], 0
                for _ in engine.stream(prompt, Sampling(max_tokens=body["max_tokens"])):
                    tokens += 1
                    yield f"data: {json.dumps({'choices': [{'text': 'x', 'finish_reason': None}]})}\n\n"
                usage = {"prompt_tokens": len(prompt), "completion_tokens": tokens}
                yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def models(_):
        return JSONResponse({"data": [{"id": "tiny"}]})

    return starlette.Starlette(
        routes=[Route("/v1/models", models), Route("/v1/completions", completions, methods=["POST"])]
    )


@pytest.fixture
def served():
    """The address of a server with the engine behind it; ``served(refuse_from=n)``."""
    running = []

    def start(refuse_from=10**9):
        settings = Settings(max_batch=4, page_size=16, pages=128)
        engine = Engine.dummy(from_hf_config(TINY, "tiny"), dtype=torch.float32, settings=settings)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # tokens leave one by one
        config = uvicorn.Config(application(engine, refuse_from), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        for _ in range(500):
            if server.started:
                break
            time.sleep(0.01)
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def run(command, tmp_path, monkeypatch):
    """The command line on a database of its own."""
    monkeypatch.setenv("WAFERLAG_DB", f"sqlite:///{tmp_path / 'own.sqlite'}")
    return command


BEHIND = ["--gpu", "H100-SXM", "--engine", "vllm", "--engine-version", "0.12", "--precision", "bf16"]
SMALL = ["--isl", 12, "--osl", 5, "--prompts", "ids", "--vocab", 128, "--requests", 6, "--warmup", 1]


def test_an_endpoint_is_measured_and_its_profile_listed_shown_and_replayed(run, served, tmp_path):
    path = tmp_path / "profile.json"
    code, out, err = run(
        *("measure", "Qwen/Qwen3-8B", "--endpoint", served(), *BEHIND, *SMALL),
        *("--concurrency", "1,3", "--rate", "50", "--goodput", "ttft:60000", "--json", path),
    )
    assert code == 0, err
    stored = json.loads(path.read_text())
    loads = [(point["concurrency"], point["request_rate"] is not None) for point in stored["points"]]
    assert loads == [(1.0, False), (3.0, False), (None, True)]
    for point in stored["points"]:
        assert point["metrics"]["completed"] == 6
        assert (point["input_tokens"], point["output_tokens"]) == (12.0, 5.0)
        assert point["metrics"]["mean_tpot_ms"] > 0
    assert stored["label"] == "measured"
    assert stored["provenance"]["command"].startswith("waferlag measure Qwen/Qwen3-8B --endpoint")
    assert stored["provenance"]["device"]

    profile_id = out.split("profile ")[-1].split()[0]
    assert profile_id in run("profiles", "list")[1]
    shown = run("profiles", "show", profile_id)[1]
    assert "3 clients" in shown
    assert "measured" in shown
    code, out, err = run(
        *("replay", "azure-code-2023", "--profile", profile_id, "--requests", 50, "--draws", 0, "--rate", 1)
    )
    assert code == 0, err
    assert "calibrated on 2 measured rows" in out


def test_refused_requests_are_counted_not_hidden(run, served, tmp_path):
    path = tmp_path / "profile.json"
    code, out, _ = run(
        *("measure", "Qwen/Qwen3-8B", "--endpoint", served(refuse_from=6), *BEHIND, *SMALL, "--no-store"),
        *("--concurrency", "2", "--json", path),
    )
    assert code == 0
    point = json.loads(path.read_text())["points"][0]
    # One warm-up request, four answered, the rest refused.
    assert (point["metrics"]["completed"], point["metrics"]["failed"]) == (4, 2)
    assert "4 completed, 2 refused" in out


def test_the_key_is_sent_and_kept_out_of_the_record(run, served, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "very-secret")
    path = tmp_path / "profile.json"
    code, out, err = run(
        *("measure", "Qwen/Qwen3-8B", "--endpoint", served(), *BEHIND, *SMALL, "--concurrency", "1"),
        *("--key-variable", "MY_KEY", "--json", path),
    )
    assert code == 0
    assert "very-secret" not in out + err + path.read_text()


def test_the_highest_rate_is_searched_and_a_bound_out_of_reach_told_at_once(run, served):
    words = ["measure", "Qwen/Qwen3-8B", "--endpoint", served(), *BEHIND, *SMALL, "--no-store", "--search", 90]
    code, out, _ = run(*words, "--goodput", "e2el:400")
    assert code == 0
    assert "highest rate that keeps the bounds" in out
    code, out, _ = run(*words, "--goodput", "ttft:0.001")
    assert code == 0
    assert "no rate keeps the bounds: requests one at a time do not" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--endpoint", "http://127.0.0.1:9", *BEHIND], "cannot be reached"),
        (["--endpoint", "127.0.0.1", *BEHIND], "write http://"),
        (["--endpoint", "http://127.0.0.1:9"], "--gpu and --engine"),
        (["--endpoint", "http://127.0.0.1:9", *BEHIND, "--api", "chats"], "chat"),
        (["--endpoint", "http://127.0.0.1:9", *BEHIND, "--served-as", "m", "--prompts", "id"], "ids"),
        (["--concurrency", "1,x"], "no number of clients"),
        (["--rate", "fast"], "no number of requests/s"),
        (["--rate", "-1"], "no number of requests/s"),
        (["--search", "90"], "needs --goodput"),
        (["--precision", "fp9"], "precision"),
    ],
)
def test_a_mistake_is_told_with_its_mend_and_no_traceback(run, words, message):
    code, _, err = run("measure", "Qwen/Qwen3-8B", *words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_the_built_in_engine_is_measured_in_this_process(run, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**TINY, "_name_or_path": "tiny"}))
    path = tmp_path / "profile.json"
    code, _, err = run(
        *("measure", config, "--precision", "fp32", "--isl", 8, "--osl", 4, "--requests", 4),
        *("--concurrency", "2", "--no-store", "--json", path),
    )
    assert code == 0, err
    stored = json.loads(path.read_text())
    assert stored["engine"] == "waferlag"
    assert stored["points"][0]["metrics"]["completed"] == 4


def test_results_of_other_tools_are_imported_and_a_broken_file_is_told(run, tmp_path):
    result = {
        "model_id": "Qwen/Qwen3-8B",
        "max_concurrency": 4,
        "completed": 10,
        "duration": 5.0,
        "total_input_tokens": 1000,
        "total_output_tokens": 500,
        "request_throughput": 2.0,
        "output_throughput": 100.0,
        "mean_ttft_ms": 50.0,
        "mean_tpot_ms": 10.0,
    }
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(result))
    bad.write_text(json.dumps({**result, "mean_ttft_ms": "soon"}))
    served = ["--gpu", "H100-SXM", "--engine", "vllm"]
    code, out, _ = run("profiles", "import", good, *served)
    assert code == 0
    assert "1 measured point(s) of Qwen/Qwen3-8B" in out
    code, _, err = run("profiles", "import", bad, *served)
    assert code == 2
    assert "mean_ttft_ms must be a number" in err
    code, _, err = run("profiles", "show", "nothing-like-it")
    assert code == 2
    assert "serving profile" in err


def test_a_step_of_the_built_in_engine_is_taken_apart(run, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(TINY))
    words = ("measure", tmp_path / "model", "--precision", "fp32", "--parts", "1,2", "--isl", "40")
    code, out, err = run(*words, "--json", tmp_path / "parts.json")
    assert code == 0, err
    assert "attention" in out
    stored = json.loads((tmp_path / "parts.json").read_text())
    assert [(part["name"], part["batch"]) for part in stored["parts"]][:2] == [("step", 1), ("attention", 1)]
    assert stored["provenance"]["command"].startswith("waferlag measure")
    assert all(part["timing"]["median"] > 0 for part in stored["parts"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--parts", "0"), "no batch size"),
        (("--parts", "1,x"), "no batch size"),
        (("--parts", "9999"), "more than the engine holds"),
        (("--parts", "1", "--endpoint", "http://localhost:1"), "leave --endpoint out"),
    ],
)
def test_parts_that_cannot_be_timed_are_told(run, tmp_path, words, message):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    code, _, err = run("measure", tmp_path, "--precision", "fp32", *words)
    assert code == 2
    assert message in err
