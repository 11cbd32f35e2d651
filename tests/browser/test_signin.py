"""Sign-in with a real OpenID provider on loopback: nobody sees a plan before, viewers look, planners plan."""

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

import dashboard

for needed in ("authlib", "httpx", "joserfc"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (pip install 'waferlag[signin]')")

from joserfc import jwk, jwt  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]

CLIENT, SECRET = "waferlag", "a-secret-of-the-test"
PEOPLE = {
    "planner": {"sub": "1", "email": "planner@example.org", "email_verified": True},
    "viewer": {"sub": "2", "email": "viewer@example.org", "email_verified": True},
    "by-claim": {"sub": "3", "email": "third@example.org", "groups": ["capacity"]},
}


class Provider(BaseHTTPRequestHandler):
    """Discovery, a page that asks who you are, codes that work once, signed ID tokens, and the key to check them."""

    protocol_version = "HTTP/1.1"
    key = jwk.RSAKey.generate_key(2048, {"kid": "test", "use": "sig"})
    codes: dict[str, dict]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path == "/.well-known/openid-configuration":
            self._json(self._configuration())
        elif place.path == "/jwks":
            self._json({"keys": [self.key.as_dict(private=False)]})
        elif place.path == "/authorize":
            self._who(asked)
        elif place.path == "/chosen":
            self._send_back(asked)
        else:
            self._say(404, "text/plain", b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        given = self.codes.pop(asked.get("code", ""), None)
        if self.path != "/token" or given is None:
            return self._say(400, "application/json", b'{"error": "invalid_grant"}')
        now = int(time.time())
        claims = {
            **PEOPLE[given["person"]],
            **{"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 600, "nonce": given["nonce"]},
        }
        token = jwt.encode({"alg": "RS256", "kid": "test"}, claims, self.key)
        self._json({"access_token": "opaque", "token_type": "Bearer", "expires_in": 600, "id_token": token})

    def _configuration(self) -> dict:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile"],
        }

    def _who(self, asked: dict) -> None:
        assert asked["client_id"] == CLIENT
        links = [f'<p><a href="/chosen?{urlencode({**asked, "person": person})}">{person}</a></p>' for person in PEOPLE]
        self._say(200, "text/html", f"<title>Who are you?</title>{''.join(links)}".encode())

    def _send_back(self, asked: dict) -> None:
        code = secrets.token_hex(8)
        self.codes[code] = {"person": asked["person"], "nonce": asked.get("nonce", "")}
        self.send_response(302)
        back = urlencode({"code": code, "state": asked["state"]})
        self.send_header("Location", f"{asked['redirect_uri']}?{back}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, body: dict) -> None:
        self._say(200, "application/json", json.dumps(body).encode())

    def _say(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def guarded(site, free_port, wait_until_healthy, tmp_path_factory) -> Iterator[str]:
    """A second dashboard over the same database, behind sign-in."""
    handler = type("Fresh", (Provider,), {"codes": {}})
    provider = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{free_port()}"
    folder = tmp_path_factory.mktemp("guarded")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        f"""
[auth]
redirect_uri = "{address}/oauth2callback"
cookie_secret = "{secrets.token_hex(32)}"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
server_metadata_url = "http://127.0.0.1:{provider.server_port}/.well-known/openid-configuration"

[waferlag]
planners = ["Planner@example.org"]
claim = "groups"
planner_roles = ["capacity"]
"""
    )
    command = [sys.executable, "-c", "from dashboard.serve import main; main()"]
    command += ["127.0.0.1", address.rpartition(":")[2]]
    roots = [str(Path(dashboard.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "WAFERLAG_DB": site.database_url, "PYTHONPATH": os.pathsep.join(roots)}
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=environment, cwd=folder, **quiet)
    try:
        wait_until_healthy(f"{address}/_stcore/health")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=120)
        provider.shutdown()
        provider.server_close()


@pytest.fixture
def signed_in(guarded, browser, patience):
    """``signed_in(person)``: a page of that person, signed in through the provider."""
    contexts = []

    def enter(person: str):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        context.set_default_timeout(1000 * patience)
        contexts.append(context)
        page = context.new_page()
        page.goto(guarded)
        page.get_by_role("button", name="Sign in").wait_for()
        assert page.get_by_role("heading", level=1, name="Answer").count() == 0, "a plan before sign-in"
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name=person, exact=True).click()
        page.get_by_role("heading", level=1, name="Answer").wait_for()
        return page

    yield enter
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("person", "role", "may"),
    [("planner", "planner", True), ("by-claim", "planner", True), ("viewer", "viewer", False)],
)
def test_who_signs_in_sees_the_plan_and_may_what_their_role_allows(
    signed_in, guarded, person: str, role: str, may: bool
):
    page = signed_in(person)
    name = PEOPLE[person]["email"].partition("@")[0]  # a word joiner keeps the address from becoming a link
    page.get_by_text(re.compile(f"Signed in as {name}@.*: {role}$")).wait_for()
    page.goto(f"{guarded}/scenario")
    button = page.get_by_role("button", name="Save and plan")
    button.wait_for()
    assert button.is_enabled() is may


def test_who_signs_out_sees_no_plan_any_more(signed_in):
    page = signed_in("viewer")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    assert page.get_by_role("heading", level=1, name="Answer").count() == 0
