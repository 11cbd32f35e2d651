"""A sign-in set-up is whole, absent, or refused: never taken for absent because it cannot be read."""

import os
from pathlib import Path

import pytest

from dashboard import signin_files
from dashboard.signin_files import SignInSetupError, sign_in_setup

COOKIE, CLIENT = "sesame-cookie-secret-of-the-test", "sesame-client-secret-of-the-test"
WHOLE = f"""
[auth]
redirect_uri = "https://planner.example/oauth2callback"
cookie_secret = "{COOKIE}"
client_id = "waferlag"
client_secret = "{CLIENT}"
server_metadata_url = "https://issuer.example/.well-known/openid-configuration"

[waferlag]
planners = ["planner@example.org"]
claim = "groups"
planner_roles = ["capacity"]
"""


@pytest.fixture(autouse=True)
def never_on_before(monkeypatch):
    import threading

    monkeypatch.setattr(signin_files, "_seen", threading.Event())


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    return tmp_path / ".streamlit" / "secrets.toml"


def write(path: Path, text: str | bytes = WHOLE) -> list[str]:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [str(path)]


def test_no_file_is_no_sign_in(secrets: Path):
    assert sign_in_setup([str(secrets)]) is None


def test_secrets_of_other_programs_are_no_sign_in(secrets: Path):
    assert sign_in_setup(write(secrets, '[weather]\nkey = "x"\n')) is None


def test_a_whole_set_up_gives_its_sections(secrets: Path):
    found = sign_in_setup(write(secrets))
    assert found is not None
    assert found["auth"]["client_id"] == "waferlag"
    assert found["waferlag"]["planner_roles"] == ["capacity"]


def test_a_client_may_stand_in_a_section_of_its_own(secrets: Path):
    head, client = WHOLE.split("client_id")[0], WHOLE.split("client_id")[1].split("[waferlag]")[0]
    assert sign_in_setup(write(secrets, f"{head}[auth.default]\nclient_id{client}")) is not None


def test_a_folder_with_a_folder_for_each_section_is_read_as_streamlit_reads_it(tmp_path: Path):
    for name in ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url"):
        write(tmp_path / "mounted" / "auth" / name, f"https://x.example/{name}-of-the-test/oauth2callback\n")
    found = sign_in_setup([str(tmp_path / "mounted")])
    assert found is not None
    assert found["auth"]["client_id"] == "https://x.example/client_id-of-the-test/oauth2callback"


def test_a_later_file_comes_before_an_earlier_one(tmp_path: Path):
    earlier, later = write(tmp_path / "a.toml"), write(tmp_path / "b.toml", WHOLE.replace('"waferlag"', '"other"'))
    found = sign_in_setup([*earlier, *later])
    assert found is not None
    assert found["auth"]["client_id"] == "other"


def without(key: str) -> str:
    return "\n".join(line for line in WHOLE.splitlines() if not line.startswith(key))


BROKEN = {
    "a quote is missing": (WHOLE.replace('test"\nclient_id', "test\nclient_id"), "is no TOML"),
    "no text at all": (b"\xff\xfe\x00[auth]", "is no TOML"),
    "an empty section": ("[auth]\n", "auth.cookie_secret: is missing"),
    "a text for the section": ('auth = "on"\n', "auth: must be a section"),
    "the section misnamed": (WHOLE.replace("[auth]", "[atuh]"), "there is no [auth]"),
    "planners without a sign-in": ('[waferlag]\nplanners = ["a@b"]\n', "there is no [auth]"),
    "no cookie secret": (without("cookie_secret"), "auth.cookie_secret: is missing"),
    "no client": (without("client_id"), "auth.client_id: is missing"),
    "no client secret": (without("client_secret"), "auth.client_secret: is missing"),
    "no issuer": (without("server_metadata_url"), "auth.server_metadata_url: is missing"),
    "no way back": (without("redirect_uri"), "auth.redirect_uri: is missing"),
    "a number for a secret": (WHOLE.replace(f'"{CLIENT}"', "20260101"), "must be a text that is not empty (got int"),
    "an empty secret": (WHOLE.replace(COOKIE, ""), "must be a text that is not empty"),
    "a short secret": (WHOLE.replace(COOKIE, "sesame"), "is shorter than 14 bytes"),
    "a way back to elsewhere": (WHOLE.replace("/oauth2callback", "/"), "ends with /oauth2callback"),
    "an issuer without a host": (
        WHOLE.replace("https://issuer.example", "issuer"),
        "server_metadata_url: is no address",
    ),
    "one planner as a text": (
        WHOLE.replace('["planner@example.org"]', '"planner@example.org"'),
        "waferlag.planners: must",
    ),
    "a claim that is a list": (WHOLE.replace('"groups"', '["groups"]'), "waferlag.claim: must be a text"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_whole_is_refused_with_its_place_and_mend_and_without_a_value(secrets: Path, case: str):
    text, reason = BROKEN[case]
    with pytest.raises(SignInSetupError) as refused:
        sign_in_setup(write(secrets, text))
    told = str(refused.value)
    assert reason in told
    assert "secrets.toml" in told
    assert "(" in told.partition(reason)[2] or "(" in reason, "the mend"
    assert "sesame" not in told
    assert "20260101" not in told


def test_every_place_that_is_wrong_is_told_at_once(secrets: Path):
    with pytest.raises(SignInSetupError) as refused:
        sign_in_setup(write(secrets, '[auth]\ncookie_secret = "x"\n[waferlag]\nplanners = 3\n'))
    assert len(str(refused.value).splitlines()) == 1 + 5 + 1


@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling link"])
def test_what_is_no_file_in_its_place_is_refused(secrets: Path, kind: str):
    secrets.parent.mkdir()
    if kind == "folder":
        secrets.mkdir()
    elif kind == "fifo":
        os.mkfifo(secrets)
    else:
        secrets.symlink_to(secrets.with_name("gone.toml"))
    with pytest.raises(SignInSetupError, match=r"secrets\.toml: is no file"):
        sign_in_setup([str(secrets)])


@pytest.mark.parametrize("step", ["lstat", "read_text"])
def test_a_file_that_may_not_be_read_is_refused(secrets: Path, step: str, monkeypatch):
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    files = write(secrets)
    monkeypatch.setattr(Path, step, denied)
    with pytest.raises(SignInSetupError, match=r"Permission denied \(let the dashboard's account read it"):
        sign_in_setup(files)


def test_a_set_up_that_is_gone_while_the_program_runs_is_refused(secrets: Path):
    files = write(secrets)
    assert sign_in_setup(files) is not None
    secrets.unlink()
    with pytest.raises(SignInSetupError, match="is gone"):
        sign_in_setup(files)


def test_visitors_see_no_folder_above_the_project_or_home(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for place, shown in ((tmp_path, ".streamlit/secrets.toml"), (tmp_path / "home", "home/.streamlit/secrets.toml")):
        with pytest.raises(SignInSetupError) as refused:
            sign_in_setup(write(place / ".streamlit" / "secrets.toml", "["))
        assert f"cannot be read: {shown}:" in str(refused.value)
        assert str(tmp_path) not in str(refused.value)
