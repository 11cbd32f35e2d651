"""Files and JSON from outside: bounds, and mutants of every document that the executor reads."""

import copy
import json
import os
import random

import pytest

from executor.errors import BadInputError, FileError, UserMistakeError
from executor.measure.imports import read_results
from executor.model.spec import model_spec
from executor.profile import profile_from_json
from executor.user_files import MAX_DEPTH, MAX_DIGITS, inside, json_value, parsed, read_bytes, read_json, read_text
from tests.executor.measure.test_imports import AIPERF, GUIDELLM, VLLM
from tests.executor.model.test_spec import DEEPSEEK, QWEN
from tests.executor.test_profile import profile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[NaN]", "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ("9" * (MAX_DIGITS + 1), "a number of more than 100 digits"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deeply"),
        ("[" * 10**6, "nested too deeply"),
        (b"\xff\xfe{", "can't decode byte 0xff"),
        ("{", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_json_beyond_a_bound_is_refused_with_its_place(text, message):
    with pytest.raises(BadInputError, match=message) as caught:
        parsed(text, "here.json")
    assert str(caught.value).startswith("here.json: ")
    assert len(str(caught.value)) < 250


def test_json_within_the_bounds_is_what_python_reads():
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    for text in (deep, "9" * MAX_DIGITS, f'["{"9" * 200}", 1.5]', '{"a": [1.5, -2, null, true, "NaN"]}'):
        assert parsed(text, "x") == json.loads(text)
    assert parsed(b"\xef\xbb\xbf[1]", "x") == [1]


def test_a_key_given_twice_is_refused_in_what_is_written_for_us_alone():
    assert parsed('{"a": 1, "a": 2}', "x") == {"a": 2}
    with pytest.raises(ValueError, match="key 'a' given twice"):
        json_value('{"a": 1, "a": 2}')


def test_only_ordinary_files_are_read_and_no_more_bytes_than_allowed(tmp_path):
    pipe, large, latin = tmp_path / "pipe", tmp_path / "large", tmp_path / "latin"
    os.mkfifo(pipe)
    large.write_bytes(b"x" * 1001)
    latin.write_bytes(b"caf\xe9")
    for path, why in (
        *((pipe, "a pipe, a device"), ("/dev/zero", "a pipe, a device"), (tmp_path, "a folder")),
        *(("a\0b", "null byte"), (tmp_path / "none", "No such file")),
        *((large, r"1,000 bytes \(shorten it\)"), (latin, r"not UTF-8 \(byte 3\)")),
    ):
        with pytest.raises(FileError, match=why):
            read_text(path, 1000, smaller="shorten it")
    assert len(read_bytes(large, 1001)) == 1001


def test_json_of_a_file_is_refused_with_its_path(tmp_path):
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(BadInputError, match=r"config\.json: not JSON"):
        read_json(tmp_path / "config.json")


def test_links_stay_in_the_folder_or_in_the_model_s_part_of_the_cache(tmp_path):
    snapshot = tmp_path / "models--org--name" / "snapshots" / "abc"
    blobs, elsewhere = tmp_path / "models--org--name" / "blobs", tmp_path / "elsewhere"
    for folder in (snapshot, blobs, elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").write_text("{}")
    (snapshot / "cached").symlink_to("../../blobs/file")
    (snapshot / "astray").symlink_to(elsewhere / "file")
    (elsewhere / "cached").symlink_to(blobs / "file")
    assert inside(snapshot, "cached").read_text() == "{}"
    assert inside(elsewhere, "file") == elsewhere / "file"
    for folder, name in ((snapshot, "astray"), (elsewhere, "cached"), (elsewhere, "../x"), (elsewhere, "/etc/passwd")):
        with pytest.raises(FileError, match="lies outside the folder"):
            inside(folder, name)
    with pytest.raises(FileError, match="is no file name"):
        inside(elsewhere, "a\0b")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "none", "none.json"])
def test_what_no_file_is_called_is_no_model(name):
    with pytest.raises(UserMistakeError):
        model_spec(name)


# -- mutants -----------------------------------------------------------------------------------------------

ODD = (None, True, "", "x", -1, 0, 1, 3, 1.5, 1e308, -1e308, 10**30, 10**18, [], {}, [1], [[1]], {"a": 1}, "9" * 400)
RAW = ("NaN", "-Infinity", "9" * 400, "[" * 2000 + "]" * 2000, '"\\ud800"', "1e999")
"""What no value of Python is written as: put into the text."""


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, each in items:
        yield from places(each, (*path, key))


def mutant(document, chance):
    """The document's text with a value or two replaced, dropped or renamed, or a few bytes changed."""
    changed = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 2, 4))):
        path = chance.choice([path for path in places(changed) if path] or [()])
        if not path:
            break
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        if chance.random() < 0.15:
            holder.pop(path[-1])
        else:
            holder[path[-1]] = "RAW" if chance.random() < 0.2 else chance.choice(ODD)
    text = json.dumps(changed).replace('"RAW"', chance.choice(RAW))
    if chance.random() < 0.15:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(("", "}", "\0", '"', "é")) + text[at + chance.randrange(4) :]
    return text


def outcomes(documents, read, count=300):
    """How many mutants were taken and how many refused; anything but a UserMistakeError leaves."""
    chance = random.Random(20261201)
    taken, messages = 0, []
    for at in range(count):
        text = mutant(documents[at % len(documents)], chance)
        try:
            read(text)
            taken += 1
        except UserMistakeError as problem:
            messages.append(str(problem))
    assert taken > 10
    assert len(messages) > 100
    assert max(map(len, messages)) < 2000


def test_mutants_of_a_profile_are_taken_or_refused():
    outcomes([json.loads(profile().to_json())], lambda text: profile_from_json(text).to_json())


def test_mutants_of_result_files_are_taken_or_refused(tmp_path):
    path = tmp_path / "result.json"

    def read(text):
        path.write_text(text, encoding="utf-8")
        read_results(path)

    outcomes([{**VLLM, "ttfts": [], "generated_texts": []}, AIPERF, GUIDELLM], read)


def test_mutants_of_a_config_are_taken_or_refused(tmp_path):
    quantised = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    groups = {"a": {"weights": {"num_bits": 4, "group_size": 32}}}
    packed = {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ["lm_head", "self_attn"]}
    rope = {"rope_theta": 1e6, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "tie_word_embeddings": True}

    def read(text):
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        spec = model_spec(str(tmp_path))
        assert spec.kv_bytes_per_token() > 0

    documents = [QWEN | rope, DEEPSEEK | {"quantization_config": quantised}, DEEPSEEK | {"quantization_config": packed}]
    outcomes(documents, read)
