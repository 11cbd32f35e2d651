"""The examples in deploy/ parse, and name only commands, options and settings that exist."""

import configparser
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from waferlag.main import app
from waferlag.settings import Settings, Smtp

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE = DEPLOY / "compose" / "docker-compose.yml"
UNITS = sorted((DEPLOY / "systemd").iterdir())


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _parses(words: list[str]) -> bool:
    """Whether the command line takes these words; nothing is run."""
    command = typer.main.get_command(app)
    context = command.make_context("waferlag", list(words))
    name, verb, rest = command.resolve_command(context, list(words))
    while hasattr(verb, "commands"):
        inner = verb.make_context(name, rest, parent=context)
        name, verb, rest = verb.resolve_command(inner, rest)
    verb.make_context(name, rest, parent=context)
    return True


def _is_setting(variable: str) -> bool:
    name, _, part = variable.removeprefix("WAFERLAG_").lower().partition("__")
    return name in Settings.model_fields if not part else name == "smtp" and part in Smtp.model_fields


def _pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in _documents(path):
            spec = document.get("spec", {})
            spec = spec.get("jobTemplate", {}).get("spec", spec)
            if "template" in spec:
                yield f"{path.name}:{document['kind']}", spec["template"]["spec"]


PODS = dict(_pods())


def test_every_manifest_is_whole():
    kinds = [document["kind"] for path in MANIFESTS for document in _documents(path)]
    assert sorted(kinds) == [*("ConfigMap", "CronJob", "Deployment", "Deployment", "PersistentVolumeClaim")]
    for path in MANIFESTS:
        for document in _documents(path):
            assert document["apiVersion"]
            assert document["metadata"]["name"].startswith("waferlag-")


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_runs_a_command_that_exists_and_not_as_root(pod):
    spec = PODS[pod]
    assert spec["securityContext"]["runAsNonRoot"] is True
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        assert _parses(container["args"])
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert all(_is_setting(entry["name"]) for entry in container["env"])
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_labels_of_a_deployment_select_its_pods():
    for path in MANIFESTS:
        for document in _documents(path):
            if document["kind"] == "Deployment":
                labels = document["spec"]["template"]["metadata"]["labels"]
                assert document["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_what_pods_refer_to_is_there():
    named = {(document["kind"], document["metadata"]["name"]) for path in MANIFESTS for document in _documents(path)}
    for spec in PODS.values():
        for container in spec["containers"]:
            for source in container["envFrom"]:
                assert ("ConfigMap", source["configMapRef"]["name"]) in named
        for volume in spec["volumes"]:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in named
    (settings,) = [d for path in MANIFESTS for d in _documents(path) if d["kind"] == "ConfigMap"]
    assert all(_is_setting(name) for name in settings["data"])


def test_the_compose_file_names_services_volumes_and_commands_that_exist():
    (compose,) = _documents(COMPOSE)
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]
        if name != "database":
            assert _parses(service["command"])
            assert service["user"] != "0"
            assert all(_is_setting(variable) for variable in service["environment"])
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), "published on loopback only"
    assert (DEPLOY.parent / compose["services"]["worker"]["build"]["dockerfile"]).is_file()


def test_no_password_stands_in_an_example():
    for path in [*MANIFESTS, COMPOSE, *UNITS]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "password" in line.lower() and not line.lstrip().startswith("#"):
                assert "${WAFERLAG_DB_PASSWORD:?" in line, line


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_systemd_unit_has_its_sections_and_a_command_that_exists(unit):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(unit.read_text(encoding="utf-8"))
    assert parser["Unit"]["Description"]
    kind = {"service": "Service", "timer": "Timer"}[unit.suffix.removeprefix(".")]
    assert kind in parser
    for line in unit.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if key.startswith("ExecStart"):
            program, *words = shlex.split(value)
            assert program.endswith("/waferlag")
            assert _parses(words)
        if key == "Environment":
            assert _is_setting(value.partition("=")[0])
    if kind == "Timer":
        assert unit.with_suffix(".service") in UNITS


def test_an_option_that_does_not_exist_would_be_noticed():
    with pytest.raises(Exception, match="no-such-option"):
        _parses(["worker", "--no-such-option"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_finds_nothing_to_say_about_the_units(tmp_path):
    for unit in UNITS:
        body = unit.read_text(encoding="utf-8").replace("/opt/waferlag/bin/waferlag", "/bin/true")
        (tmp_path / unit.name).write_text(body, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if "waferlag" in line]
    assert ours == []
