"""The sign-in set-up in Streamlit's secrets files: whole, absent, or refused with all that is wrong with it.

Streamlit takes a file that it cannot read for no file at all, which would open every page to everybody.
"""

import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from executor.errors import UserMistakeError

SHORTEST_SECRET = 14
"""Bytes of a cookie secret: a key of less than 112 bits is no longer held to be safe (NIST SP 800-131A)."""
_seen = threading.Event()
"""Set once sign-in was on: while this process runs it does not go off again."""
_SHARED = ("redirect_uri", "cookie_secret")
_OF_CLIENT = ("client_id", "client_secret", "server_metadata_url")


class SignInSetupError(UserMistakeError):
    """A sign-in set-up that is there and cannot be used, so that nothing may be shown."""


def sign_in_setup(files: Sequence[str]) -> dict[str, Any] | None:
    """The sections of all secrets files, a later file's before an earlier one's; None: no sign-in is set up.

    Raises SignInSetupError with every place that is wrong and its mend, never with a value; also where there was a
    set-up since this process started, and is none any more.
    """
    found: dict[str, Any] = {}
    places: dict[str, str] = {}
    for file in files:
        content = _content(file)
        found |= content
        places |= dict.fromkeys(content, _shown(file))
    wrong = [f"{places[name]}: {problem}" for name, problem in _problems(found)]
    if wrong:
        raise SignInSetupError("sign-in is set up and cannot be used:\n  " + "\n  ".join(wrong))
    if "auth" in found:
        _seen.set()
        return found
    if _seen.is_set():
        raise SignInSetupError("sign-in was set up and is gone (put its file back, or start the dashboard again)")
    return None


def _content(file: str) -> dict[str, Any]:
    """The sections of one file, or of a folder with a folder for each section; nothing where there is none."""
    path = Path(file)
    try:
        path.lstat()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _refused(file, error.strerror or type(error).__name__, "let the dashboard's account read it") from None
    folder = path.is_dir() and path.suffix != ".toml"
    if not folder and not path.is_file():
        raise _refused(file, "is no file", "put the secrets file in its place, or remove it")
    try:
        if not folder:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        return {
            section.name: {
                key.name: key.read_text(encoding="utf-8").strip() for key in section.iterdir() if key.is_file()
            }
            for section in path.iterdir()
        }
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise _refused(file, reason, "let the dashboard's account read it: chmod 600") from None
    except (ValueError, RecursionError) as error:
        raise _refused(file, f"is no TOML: {error}", "mend the line, or remove the file") from None


def _refused(file: str, reason: str, mend: str) -> SignInSetupError:
    return SignInSetupError(f"sign-in cannot be read: {_shown(file)}: {reason} ({mend})")


def _shown(file: str) -> str:
    """A file's name as visitors may see it: without the folders above home or the project."""
    for above, name in ((Path.cwd(), ""), (Path.home(), "~/")):
        if Path(file).is_relative_to(above):
            return f"{name}{Path(file).relative_to(above)}"
    return Path(file).name


def _problems(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong, after the section that it is in."""
    if "auth" not in found:
        for name, section in found.items():
            held = set(section) if isinstance(section, Mapping) else {name}
            if name == "waferlag" or name.casefold() == "auth" or held & {*_SHARED, *_OF_CLIENT}:
                yield name, f"{name}: belongs to sign-in, and there is no [auth] (add the section [auth])"
        return
    auth = found["auth"]
    if not isinstance(auth, Mapping):
        yield "auth", f"auth: must be a section (got {type(auth).__name__}; write [auth] and its keys below)"
        return
    client = auth.get("default", auth)
    for section, keys in ((auth, _SHARED), (client, _OF_CLIENT)):
        for key in keys:
            if problem := _wrong(key, section.get(key) if isinstance(section, Mapping) else None):
                yield "auth", f"auth.{key}: {problem}"
    planners = found.get("waferlag", {})
    if not isinstance(planners, Mapping):
        yield "waferlag", "waferlag: must be a section (write [waferlag] and its keys below)"
        return
    for key in ("planners", "planner_roles"):
        listed = planners.get(key, [])
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            yield "waferlag", f'waferlag.{key}: must be a list of texts (write {key} = ["..."])'
    if not isinstance(planners.get("claim", ""), str):
        yield "waferlag", 'waferlag.claim: must be a text (write claim = "roles")'


def _wrong(key: str, value: object) -> str | None:
    """What is wrong with a value of [auth]; None: nothing is."""
    if value is None:
        return f'is missing (write {key} = "..." below [auth])'
    if not isinstance(value, str) or not value.strip():
        return f"must be a text that is not empty (got {type(value).__name__}; write it in quotes)"
    if key == "cookie_secret" and len(value.encode()) < SHORTEST_SECRET:
        return f"is shorter than {SHORTEST_SECRET} bytes (write a random text of 32 or more characters)"
    if key == "redirect_uri" and not (_web(value) and value.endswith("/oauth2callback")):
        return "is no address that ends with /oauth2callback (write https://HOST/oauth2callback)"
    if key == "server_metadata_url" and not _web(value):
        return "is no address (write https://ISSUER/.well-known/openid-configuration)"
    return None


def _web(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
