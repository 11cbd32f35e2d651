"""The ten kinds of input that users hand in: a small valid one, how it is damaged, and the reader that judges it."""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.fuzz.mutations import SECRET, as_json, damaged_bytes, damaged_document, damaged_table, odd_value, packed

Files = dict[str, bytes]


@dataclass(frozen=True)
class Kind:
    """``make`` gives the files of one damaged input, the first of them the one to read; ``read`` reads it."""

    make: Callable[[Random], Files]
    read: Callable[[Path, Random], object]
    limit_bytes: int = 200 * 10**6
    """Address space that reading may take beside what the process has already."""


def spoilt(document: Any, random: Random) -> bytes:
    """A document damaged as a document, as text, or both."""
    raw = as_json(damaged_document(document, random)) if random.random() < 0.75 else as_json(document)
    return raw if random.random() < 0.7 else damaged_bytes(raw, random)


def spoilt_table(text: str, random: Random) -> bytes:
    raw = damaged_table(text, random) if random.random() < 0.7 else text.encode()
    return raw if random.random() < 0.6 else damaged_bytes(raw, random)


# --- scenarios -------------------------------------------------------------------------------------

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"2023-11-16 18:{n:02}:03.9,48,{n}\n" for n in range(9))
SMALL: dict[str, Any] = {
    "name": "small",
    "start": "2025-07-16",
    "horizon_months": 6,
    "title": "t",
    "seed": 3,
    "exchange": {"USD": 7.1},
    "run": {"training_futures": 40, "replications": 50},
    "costs": {"gpu_watts": {"H20-96GB": 400}},
    "pools": [
        {
            "name": "chat",
            "model": "Qwen/Qwen3-32B",
            "layouts": {"H20-96GB": {"tp": 2}},
            "growth": {"low": 1, "high": 1.3},
            "load": {"trace": "servegen-m-large", "requests_per_second": 5},
            "slo": {"ttft_ms": 3000, "tpot_ms": 60},
        },
        {
            "name": "own",
            "model": "own.json",
            "layouts": {"H20-96GB": {"tp": 1}},
            "load": {"trace": "own.csv", "requests_per_second": 5},
            "slo": {"ttft_ms": 3000, "tpot_ms": 60},
        },
        {
            "name": "parts",
            "model": "Qwen3-8B",
            "layouts": {"H20-96GB": {}},
            "slo": {"ttft_ms": 3000, "tpot_ms": 60},
            "load": {
                "trace": {"rhythm": "azure-code-2024", "lengths": {"input_tokens": 900, "output_tokens": 90}},
                "requests_per_second": 2,
            },
        },
    ],
    "fleet": [
        {
            "sku": "H20-96GB",
            "pool": "chat",
            "gpus": 64,
            "replaced_share": 0.2,
            "replacement": "h20",
            "spares": 2,
            "in_service_since": "2024-01-01",
            "retire_after_months": 60,
        }
    ],
    "sources": [
        {
            "name": "h20",
            "sku": "H20-96GB",
            "price": 150000,
            "gates": ["us", "own-law"],
            "lines": {"fab": "fab"},
            "route": [{"name": "fab", "low": 10, "mode": 20, "high": 30, "yield_share": 0.9}],
        },
        {
            "name": "cloud",
            "sku": "H20-96GB",
            "price_per_gpu_hour": {"amount": 1, "currency": "USD"},
            "max_spot_gpus": 8,
        },
    ],
    "gates": [
        {
            "name": "us",
            "authority": "us",
            "product": "H20",
            "prior_median_days": {"closed": 200},
            "events": [{"date": "2025-09-01", "state": "open"}],
            "effects": {"open": {"fee": 0.15}},
        },
        {
            "name": "own-law",
            "authority": "cn",
            "state": "open",
            "law": {"open": {"mean_days": 90, "next": {"closed": 1}}, "closed": {"mean_days": 30, "next": {"open": 1}}},
        },
    ],
    "lines": [{"name": "fab", "gpus_per_period": 500, "others": [100], "share": 0.5}],
    "goal": {"unmet_price_per_gpu_hour": 60, "budget": {"amount": 9e7, "currency": "CNY"}},
    "overrides": {
        "dear": {"sources": [{"name": "h20", "price": 200000}]},
        "all": {"gates": [{"match": {"authority": "us"}, "always": "open"}]},
    },
}
WITH = ["dear", "all", "us-gate-open", "us-gate-closed", "demand-doubles", "none-such", "own.yaml", ""]


def _scenario(random: Random) -> Files:
    if random.random() < 0.8:
        raw = spoilt(SMALL, random)
    else:
        raw = damaged_bytes(yaml.safe_dump(SMALL, allow_unicode=True, sort_keys=False).encode(), random)
    trace = AZURE.encode() if random.random() < 0.9 else packed(spoilt_table(AZURE, random), random)
    model = as_json(QWEN) if random.random() < 0.9 else spoilt(QWEN, random)
    return {"small.yaml": raw, "own.csv": trace, "own.json": model, "own.yaml": spoilt({"seed": 5}, random)}


def _open_scenario(path: Path, random: Random) -> object:
    from planner.open_scenario import open_scenario

    names = random.sample(WITH, random.choice((0, 0, 0, 1, 2)))
    return open_scenario(path, names, max_bytes=1_000_000)


# --- traces ----------------------------------------------------------------------------------------

WEEK = "".join(f"{n % 3},{600 * (n // 3)},1.5,1.0,{('Gamma', 'Weibull')[n % 2]},0.5,1.0\n" for n in range(500))
TRACES = {
    "mooncake": "".join(
        json.dumps({"timestamp": 700 * n, "input_length": 900 + n, "output_length": n, "hash_ids": [0, n]}) + "\n"
        for n in range(20)
    ),
    "azure": AZURE,
    "azure-hourly": "hour_start_utc,requests,peak_requests_per_minute\n"
    + "".join(f"2024-05-{10 + n // 24}T{n % 24:02}:00Z,36{n},90\n" for n in range(50)),
    "deepseek": "hour_start_beijing,theoretical_income_usd,mean_h800_nodes\n"
    + "".join(f"2025-02-27T{n:02}:00+08:00,2703{n},278\n" for n in range(24)),
    "servegen": "client_id,timestamp,rate,cv,pat_name,pat_arg1,pat_arg2\n" + WEEK,
}
LENGTHS = [
    {"client_id": 0, "timestamp": 0, "input_tokens": {"100": 0.25, "900": 0.75}, "output_tokens": {"5": 1.0}},
    {
        "client_id": 1,
        "timestamp": 0,
        "text_tokens": {"9": 1},
        "image_tokens": {"50": 0.5, "70": 0.5},
        "image_count": {"0": 0.5, "3": 0.5},
        "output_tokens": {"5": 1.0},
    },
]
CDF = [[100, 0.1], [300, 0.7], [1000, 1.0]]


def _trace(random: Random) -> Files:
    format = random.choice([*TRACES, "servegen", "cdf", "summary"])
    if format == "cdf":
        files = {"x-cdf.json": spoilt(CDF, random), "y.json": as_json(CDF)}
    elif format == "summary":
        files = {"x-summary.json": spoilt(_summary(), random)}
    elif format == "servegen":
        lines = b"".join(spoilt(each, random) + b"\n" for each in LENGTHS)
        files = {"x-rates.csv": spoilt_table(TRACES[format], random), "x-lengths.jsonl": lines}
        if random.random() < 0.3:
            table = {"0": {"input_tokens": "{20: 0.5, 40: 0.5}", "output_tokens": {"5": 1.0}}}
            chunk = "\n".join(line.partition(",")[2] for line in WEEK.splitlines()[::3])
            files = {
                "f/chunk-1-trace.csv": spoilt_table(chunk, random),
                "f/chunk-1-dataset.json": spoilt(table, random),
            }
    elif format == "mooncake" and random.random() < 0.5:
        lines = [json.loads(line) for line in TRACES[format].splitlines()]
        files = {"x": b"\n".join(map(as_json, lines[:-1])) + b"\n" + spoilt(lines[-1], random)}
    else:
        files = {"x": spoilt_table(TRACES[format], random)}
    name, raw = next(iter(files.items()))
    return {**files, name: packed(raw, random)} if random.random() < 0.15 else files


@cache
def _summary() -> dict[str, Any]:
    from planner.demand.summary import shipped_summary

    return json.loads(shipped_summary("mooncake-conversation").to_json())


def _read_trace(path: Path, random: Random) -> object:
    from planner.demand.readers.reader import FORMATS, read_trace
    from planner.demand.summary import summarise, users_own
    from planner.demand.traffic import trace_summary

    if path.suffix == ".json" and path.parent.name != "f":
        names = {"input_cdf": path.name, "output_cdf": "y.json"} if "cdf" in path.name else path.name
        return trace_summary(names, path.parent, 5_000_000)
    source = path.parent if path.parent.name == "f" else path
    format = random.choice((None, None, *FORMATS))
    return summarise(read_trace(source, format, max_bytes=5_000_000), users_own("x"))


# --- orders and cases ------------------------------------------------------------------------------

ORDERS = "pool,source,month,gpus\nchat,h20,2025-07,64\nchat,h20,2025-09,128\n"
CASES = (
    "model,gpu,precision,engine,engine_version,tp,concurrency,input_tokens,output_tokens,tpot_ms,output_tokens_per_s_per_gpu,ttft_ms\n"
    "Qwen3-8B,H100-SXM,bf16,vllm,0.12,1,8,1024,256,15,500,90\n"
    "Qwen3-32B,H20-96GB,fp8,sglang,,2,16,2048,512,30,250,300\n"
)


@cache
def _small_scenario() -> Any:
    from planner.scenario.load import validate

    bare = {name: value for name, value in SMALL.items() if name != "overrides"}
    return validate({**bare, "pools": SMALL["pools"][:1]}, "small")


def _read_orders(path: Path, random: Random) -> object:
    from planner.supply.order_lines import departures, orders_of, read_order_lines

    lines = read_order_lines(path, _small_scenario())
    departures(lines, _small_scenario())
    return orders_of(lines, _small_scenario())


def _read_cases(path: Path, random: Random) -> object:
    from executor.estimate.measured_points import read_measured, read_table
    from waferlag.commands.estimate import predicted_cells

    table = read_table(path)
    answered = [predicted_cells(line, cells, {}) for line, cells in table[:4]]
    for row in answered:
        assert SECRET not in str(row)
    return read_measured(path)


# --- JSON of measurements, models and plans --------------------------------------------------------

VLLM = {
    "date": "20251120-101500",
    "model_id": "Qwen/Qwen3-8B",
    "num_prompts": 64,
    "request_rate": "inf",
    "max_concurrency": 8,
    "duration": 32.0,
    "completed": 64,
    "total_input_tokens": 65536,
    "total_output_tokens": 16384,
    "request_throughput": 2.0,
    "output_throughput": 512.0,
    "mean_ttft_ms": 90.5,
    "p99_ttft_ms": 200.0,
    "mean_tpot_ms": 15.2,
    "mean_itl_ms": 15.1,
}
AIPERF = {
    "schema_version": "1.3",
    "request_throughput": {"unit": "requests/sec", "avg": 3.37},
    "request_count": {"unit": "requests", "avg": 96.0},
    "time_to_first_token": {"unit": "ms", "avg": 118.1, "p99": 232.3},
    "inter_token_latency": {"unit": "ms", "avg": 9.05},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 769.6},
    "input_sequence_length": {"unit": "tokens", "avg": 467.5},
    "output_sequence_length": {"unit": "tokens", "avg": 228.2},
    "input_config": {
        "models": {"items": [{"name": "qwen3-8b"}]},
        "phases": [{"type": "concurrency", "concurrency": 8}],
    },
    "end_time": "2025-11-21T04:20:08",
}


def _spread(mean: float, **more: float) -> dict[str, Any]:
    return {"successful": {"mean": mean, "median": mean, "std_dev": 0.1, "percentiles": {"p99": 2 * mean}, **more}}


GUIDELLM = {
    "args": {"model": "Qwen/Qwen3-8B"},
    "benchmarks": [
        {
            "config": {"strategy": {"type_": "concurrent", "streams": 16}},
            "duration": 30.0,
            "metrics": {
                "request_totals": {"successful": 50, "total": 53},
                "requests_per_second": _spread(1.7),
                "output_tokens_per_second": _spread(430.0),
                "tokens_per_second": _spread(2100.0),
                "prompt_token_count": _spread(1000.0, total_sum=50000),
                "output_token_count": _spread(256.0, total_sum=12800),
                "time_to_first_token_ms": _spread(150.0),
                "inter_token_latency_ms": _spread(20.0),
            },
        }
    ],
}
QWEN = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "vocab_size": 97,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "tie_word_embeddings": False,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 97,
    "num_key_value_heads": 4,
    "intermediate_size": 96,
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}


def _read_import(path: Path, random: Random) -> object:
    from executor.measure.imports import imported_profile
    from executor.model.cost import Layout

    return imported_profile(
        [path],
        gpu="H100-SXM",
        precision="bf16",
        engine="vllm",
        engine_version="0.12",
        layout=Layout(),
        kv_precision="bf16",
    ).to_json()


def _import(random: Random) -> Files:
    raw = spoilt(random.choice((VLLM, AIPERF, GUIDELLM)), random)
    return {"x.json": raw + b"\n" + as_json(VLLM) if random.random() < 0.1 else raw}


@cache
def _profile() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        path.write_bytes(as_json(VLLM))
        return json.loads(str(_read_import(path, Random(0))))


def _read_profile(path: Path, random: Random) -> object:
    from executor.profile import profile_from_json

    return profile_from_json(_text(path)).to_json()


def _text(path: Path) -> str:
    """As the command reads it: what is no text is not the reader's concern."""
    return path.read_text(encoding="utf-8", errors="replace")


def _read_config(path: Path, random: Random) -> object:
    from executor.model.spec import model_spec

    spec = model_spec(str(path))
    return spec, spec.kv_bytes_per_token()


# --- weights ---------------------------------------------------------------------------------------


@cache
def _weights() -> tuple[dict[str, Any], bytes]:
    """Header and data of a small model's safetensors file."""
    layer = {
        "self_attn.q_proj.weight": (64, 64),
        "self_attn.k_proj.weight": (32, 64),
        "self_attn.v_proj.weight": (32, 64),
        "self_attn.o_proj.weight": (64, 64),
        "self_attn.q_norm.weight": (16,),
        "self_attn.k_norm.weight": (16,),
        "mlp.gate_proj.weight": (96, 64),
        "mlp.up_proj.weight": (96, 64),
        "mlp.down_proj.weight": (64, 96),
        "input_layernorm.weight": (64,),
        "post_attention_layernorm.weight": (64,),
    }
    shapes = {f"model.layers.{n}.{name}": shape for n in range(2) for name, shape in layer.items()}
    shapes |= {"model.embed_tokens.weight": (97, 64), "lm_head.weight": (97, 64), "model.norm.weight": (64,)}
    header: dict[str, Any] = {}
    at = 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return header, b"\x10\x3c" * (at // 2)


def safetensors(header: Any, data: bytes, stated: int | None = None) -> bytes:
    raw = as_json(header)
    return (len(raw) if stated is None else stated).to_bytes(8, "little") + raw + data


def _weights_folder(random: Random) -> Files:
    header, data = _weights()
    config = {name: value for name, value in QWEN.items() if name != "rope_scaling"}
    name = "model.safetensors"
    index = {"metadata": {"total_size": len(data)}, "weight_map": dict.fromkeys(header, name)}
    files = {"config.json": as_json(config), name: safetensors(header, data)}
    target = random.randrange(5)
    if target == 0:
        files["config.json"] = spoilt(config, random)
    elif target == 1:
        stated = random.choice((None, None, None, 0, 1, 2**31, 2**63 - 1, 2**64 - 1))
        files[name] = safetensors(damaged_document(header, random), data, stated)
    elif target == 2:
        files["model.safetensors.index.json"] = spoilt(index, random)
    elif target == 3:
        raw = files[name]
        cut = random.randrange(min(len(raw), 6000))
        files[name] = damaged_bytes(raw[:6000], random) + raw[6000:] if random.random() < 0.5 else raw[:cut]
    else:
        files["model.safetensors.index.json"] = as_json(damaged_document(index, random))
        files["config.json"] = as_json(damaged_document(config, random))
    return files


def _read_weights(path: Path, random: Random) -> object:
    import torch

    from executor.engine.checkpoint import load

    return load(path.parent, torch.bfloat16, torch.device("cpu"))


# --- plans and settings ----------------------------------------------------------------------------


@cache
def _plan() -> dict[str, Any]:
    from planner.sampling.seeds import root_of
    from planner.scenario.load import scenario_hash
    from tests.july import build

    record = build()
    document = json.loads(record.model_dump_json())
    roots = {use: root_of(record.scenario.seed, use) for use in document["roots"]}
    return document | {"scenario_hash": scenario_hash(record.scenario), "roots": roots}


def _plan_file(random: Random) -> Files:
    document = _plan()
    if random.random() < 0.5:  # what is within the hash would be refused at once: without it the scenario is read
        document = {name: value for name, value in document.items() if name not in ("scenario_hash", "roots")}
    if random.random() < 0.2:
        document = document | {"schema_version": 1}
    if random.random() < 0.3:
        return {"plan.json": as_json(document | {"scenario": damaged_document(document["scenario"], random)})}
    return {"plan.json": spoilt(document, random)}


def _read_plan(path: Path, random: Random) -> object:
    from planner.open_scenario import open_scenario
    from planner.supply.order_lines import lines_of_plan
    from waferlag.commands.report import plan_of_file

    way = random.randrange(3)
    if way == 0:
        return open_scenario(path)
    if way == 1:
        return lines_of_plan(path, open_scenario(path).scenario)
    return plan_of_file(path)


SETTINGS = f"""db = "postgresql://user:{SECRET}@localhost/waferlag"
max_trace_bytes = 1000000
lease_seconds = 45.0
backend = "processes"
keep_days = 30
[smtp]
host = "localhost"
port = 25
user = "me"
password = "{SECRET}"
"""


def _settings(random: Random) -> Files:
    text = SETTINGS
    for _ in range(random.choice((1, 1, 2))):
        lines = text.splitlines()
        at = random.randrange(len(lines))
        key, equals, value = lines[at].partition(" = ")
        deed = random.randrange(5)
        if deed == 0:
            del lines[at]
        elif deed == 1:
            lines.insert(at, lines[at])
        elif deed == 2 and equals:
            cut = random.randrange(len(key))
            lines[at] = f"{key[:cut]}{random.choice('axs_')}{key[cut + 1 :]} = {value}"
        elif deed == 3 and equals and SECRET not in value:
            odd = odd_value(random)
            lines[at] = f"{key} = {json.dumps(odd, default=str) if not isinstance(odd, str) else json.dumps(odd)}"
        else:
            lines[at] = lines[at].replace('"', random.choice(("", "'", '"""'))) if random.random() < 0.5 else key
        text = "\n".join(lines) + "\n"
    raw = text.encode("utf-8", "surrogatepass")
    return {"waferlag.toml": raw if random.random() < 0.8 else damaged_bytes(raw, random)}


def _read_settings(path: Path, random: Random) -> object:
    from waferlag.settings import read_settings

    os.environ["WAFERLAG_CONFIG"] = str(path)
    try:
        return read_settings()
    finally:
        del os.environ["WAFERLAG_CONFIG"]


KINDS: Mapping[str, Kind] = {
    "scenario": Kind(_scenario, _open_scenario),
    "trace": Kind(_trace, _read_trace),
    "orders": Kind(lambda random: {"orders.csv": spoilt_table(ORDERS, random)}, _read_orders),
    "cases": Kind(lambda random: {"cases.csv": spoilt_table(CASES, random)}, _read_cases),
    "import": Kind(_import, _read_import),
    "profile": Kind(lambda random: {"profile.json": spoilt(_profile(), random)}, _read_profile),
    "config": Kind(lambda random: {"config.json": spoilt(random.choice((QWEN, DEEPSEEK)), random)}, _read_config),
    "weights": Kind(_weights_folder, _read_weights, limit_bytes=600 * 10**6),  # most of it is torch's own start
    "plan": Kind(_plan_file, _read_plan),
    "settings": Kind(_settings, _read_settings),
}


def read_quietly(kind: Kind, path: Path, random: Random) -> object:
    """What the reader makes of the file; what it prints is no message."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return kind.read(path, random)
