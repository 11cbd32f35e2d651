"""Settings: who speaks first, what is refused, and that the page tells all of them."""

import re
from pathlib import Path

import pytest

from executor.errors import FileError, LimitError, UserMistakeError
from planner.scenario.errors import ScenarioError
from waferlag.settings import Settings, SettingsError, Smtp, config_file, data_folder, read_settings

PAGE = Path(__file__).parents[2] / "docs" / "database.md"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No setting of the machine that runs the tests gets in."""
    for name in ("WAFERLAG_DB", "WAFERLAG_CONFIG", "WAFERLAG_RUNS_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_by_default_the_database_is_a_file_in_the_users_data_folder(tmp_path):
    assert data_folder() == tmp_path / "data" / "waferlag"
    assert read_settings().database(None) == f"sqlite:///{tmp_path / 'data' / 'waferlag' / 'waferlag.sqlite'}"


def test_an_argument_goes_before_the_environment_and_the_environment_before_the_file(monkeypatch):
    config_file().parent.mkdir(parents=True)
    config_file().write_text("lease_seconds = 20\nbeat_seconds = 5\nwarn_days = 3\n[smtp]\nhost = 'mail.example'\n")
    monkeypatch.setenv("WAFERLAG_BEAT_SECONDS", "4")
    monkeypatch.setenv("WAFERLAG_LEASE_SECONDS", "30")
    found = read_settings(lease_seconds=60)
    assert (found.lease_seconds, found.beat_seconds, found.warn_days) == (60, 4, 3)
    assert found.smtp.host == "mail.example"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("WAFERLAG_LEASE_SECONDS", "-1", "lease_seconds.*got '-1'"),
        ("WAFERLAG_LEASE_SECONDS", "nan", "lease_seconds"),
        ("WAFERLAG_MAX_REPLICATIONS", "many", "max_replications.*got 'many'"),
        ("WAFERLAG_LEASE_SECOND", "5", "did you mean WAFERLAG_LEASE_SECONDS"),
        ("WAFERLAG_SMTP__PORT", "0", "smtp.port"),
        ("WAFERLAG_CONFIG", "/no/such/file.toml", "no such file"),
        ("WAFERLAG_CONFIG", "x" * 300, "no such file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_with_place_and_mend(monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserMistakeError) as raised:
        read_settings()
    assert re.search(says, str(raised.value)), str(raised.value)


def test_a_misspelt_setting_in_the_file_is_refused(monkeypatch):
    config_file().parent.mkdir(parents=True)
    config_file().write_text("leese_seconds = 20\n")
    with pytest.raises(ScenarioError, match="did you mean lease_seconds"):
        read_settings()
    for text in ("lease_seconds = [", "lease_seconds = " + "[" * 3000):
        config_file().write_text(text)
        with pytest.raises(FileError, match="not valid TOML"):
            read_settings()


def test_a_variable_of_somebody_else_is_left_alone(monkeypatch):
    for name in ("QZX", "REQUIRE_BROWSER", "REQUIRE_POSTGRES", "TEST_POSTGRES_URL", "DEBUG", "CHROMIUM"):
        monkeypatch.setenv(f"WAFERLAG_{name}", "1")
    read_settings()
    monkeypatch.setenv("WAFERLAG_DBB", "1")
    with pytest.raises(SettingsError):
        read_settings()


def test_a_password_is_shown_nowhere(monkeypatch):
    monkeypatch.setenv("WAFERLAG_SMTP__PASSWORD", "sesame")
    assert "sesame" not in repr(read_settings())


@pytest.mark.parametrize(
    "text",
    [
        "[smtp]\npasswor = 'sesame'\n",
        "[smtp]\npassword = ['sesame']\n",
        "[smtpp]\npassword = 'sesame'\n",
        "smtp = 'sesame'\n",
        "pasword = 'sesame'\n",
        "db = ['postgresql://me:sesame@host/name']\n",
        "[db]\nurl = 'sesame'\n",
        "lease_seconds = {secret = 'sesame'}\n",
        "[smtp]\npassword = 'sesame\n",
        "[smtp]\npassword = sesame\n",
    ],
)
def test_a_slip_in_the_file_is_told_by_name_and_never_with_a_value(text):
    config_file().parent.mkdir(parents=True)
    config_file().write_text(text)
    with pytest.raises(UserMistakeError) as raised:
        read_settings()
    assert "sesame" not in str(raised.value)
    assert str(config_file()) in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("WAFERLAG_SMTP", '{"passwrd": "sesame"}', r"\(WAFERLAG_SMTP\)[^$]*smtp.passwrd: no such setting.*password\?"),
        ("WAFERLAG_SMTP", '{"password": "sesame"', "WAFERLAG_SMTP is not valid JSON"),
        ("WAFERLAG_SMTP", "sesame", "WAFERLAG_SMTP is not valid JSON"),
        ("WAFERLAG_SMTP__PASWORD", "sesame", r"\(WAFERLAG_SMTP__PASWORD\)"),
        ("WAFERLAG_SMPT__PASSWORD", "sesame", "WAFERLAG_SMPT__PASSWORD. is no setting.*WAFERLAG_SMTP"),
    ],
)
def test_a_slip_in_a_variable_is_blamed_on_the_variable(monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserMistakeError) as raised:
        read_settings()
    assert re.search(says, str(raised.value)), str(raised.value)
    assert "sesame" not in str(raised.value)
    assert "waferlag.toml" not in str(raised.value)


def test_the_account_of_the_system_is_not_that_of_the_mail_server(monkeypatch):
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("PORT", "8080")
    monkeypatch.setenv("WAFERLAG_SMTP__HOST", "mail.example")
    smtp = read_settings().smtp
    assert (smtp.host, smtp.user, smtp.port) == ("mail.example", "", 587)


def test_hosts_are_named_with_commas_or_as_a_list(monkeypatch):
    monkeypatch.setenv("WAFERLAG_ENDPOINT_HOSTS", "10.0.0.7, serve.example")
    assert read_settings().endpoint_hosts == ("10.0.0.7", "serve.example")
    config_file().parent.mkdir(parents=True)
    config_file().write_text("webhook_hosts = ['hooks.example']\n")
    assert read_settings().webhook_hosts == ("hooks.example",)


def test_a_scenario_beyond_the_limits_is_refused_and_the_setting_is_named(make_scenario):
    chosen = read_settings(max_replications=100)
    with pytest.raises(LimitError, match="WAFERLAG_MAX_REPLICATIONS"):
        chosen.allow(make_scenario())
    with pytest.raises(LimitError, match="WAFERLAG_MAX_HORIZON_MONTHS"):
        read_settings(max_horizon_months=2).allow(make_scenario())
    read_settings().allow(make_scenario())


def test_every_setting_is_on_the_page_with_its_meaning():
    told = dict(re.findall(r"^\| `([a-z_.]+)` \| .* \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    expected = {name: field.description for name, field in Settings.model_fields.items() if name != "smtp"}
    expected |= {f"smtp.{name}": field.description for name, field in Smtp.model_fields.items()}
    assert {name: told.get(name) for name in expected} == expected
