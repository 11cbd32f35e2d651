"""Messages reach a file, a webhook and a mail server; what fails is tried again; secrets stay where they are."""

import base64
import datetime as dt
import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import text

from db import notices
from db.notices import MAX_ATTEMPTS, Outbox, shown_sink
from db.repository import RunRepository
from executor.errors import UnknownNameError, UserMistakeError
from waferlag.settings import Smtp, read_settings
from waferlag.worker.alerts import about_plan
from waferlag.worker.sinks import send, sink_of

TODAY = dt.date(2025, 8, 10)


class Listener:
    """A webhook of our own: answers with the given codes in turn, then with 200."""

    def __init__(self, *codes: int) -> None:
        self.got: list[tuple[dict, dict]] = []
        listener, answers = self, list(codes)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                listener.got.append((dict(self.headers), body))
                code = answers.pop(0) if answers else 200
                self.send_response(code)
                if 300 <= code < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *args):
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=sesame"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def listener():
    made = []

    def make(*codes: int) -> Listener:
        made.append(Listener(*codes))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture
def post(database, make_record):
    """Put a message for one sink into the outbox of a database with one run."""

    def post(sink: dict) -> Outbox:
        run_id = RunRepository(database).add(make_record())
        with database.write() as session:
            notices.post(session, run_id, sink, "weekly: below the goal", {"topic": "goal", "run": run_id})
        return Outbox(database)

    return post


def _due_again(database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE notice SET not_before = 0"))


def _stored(database) -> list:
    """State, attempts and error of each notice."""
    with database.read() as session:
        return session.execute(text("SELECT state, attempts, error FROM notice")).all()


def test_a_file_gets_one_line_of_json_per_message(database, post, tmp_path):
    file = tmp_path / "alerts.jsonl"
    file.write_text('{"older": true}\n')
    outbox = post(sink_of(f"file:{file}", ["goal"]))
    send(outbox, outbox.take(), read_settings())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0] == {"older": True}
    assert lines[1]["topic"] == "goal"
    assert _stored(database)[0].state == "sent"
    assert outbox.take() is None


def test_a_webhook_gets_the_message_and_its_key(database, post, listener):
    hook = listener()
    outbox = post(sink_of(hook.url, ["goal"]))
    notice = outbox.take()
    send(outbox, notice, read_settings())
    ((headers, body),) = hook.got
    assert headers["Idempotency-Key"] == body["id"] == notice.id
    assert body["text"] == "weekly: below the goal"
    assert _stored(database)[0].state == "sent"


@pytest.mark.parametrize("code", [302, 404, 500])
def test_a_webhook_that_refuses_is_tried_again_under_the_same_key(database, post, listener, code):
    hook = listener(code)
    outbox = post(sink_of(hook.url, ["goal"]))
    send(outbox, outbox.take(), read_settings())
    waiting = _stored(database)[0]
    assert waiting.state == "waiting"
    assert str(code) in waiting.error
    assert outbox.take() is None, "not before its time"
    _due_again(database)
    send(outbox, outbox.take(), read_settings())
    assert _stored(database)[0].state == "sent"
    assert hook.got[0][0]["Idempotency-Key"] == hook.got[1][0]["Idempotency-Key"]


def test_an_answer_that_is_no_http_is_tried_again_and_stops_no_other_message(database, post, tmp_path):
    class Nonsense(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(b"hello?\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        outbox = post(sink_of(f"http://127.0.0.1:{server.server_address[1]}/", ["goal"]))
        send(outbox, outbox.take(), read_settings())
        server.shutdown()
    assert _stored(database)[0].state == "waiting"


def test_a_sink_that_never_answers_fails_after_the_last_attempt(database, post):
    outbox = post(sink_of("http://127.0.0.1:1/hook?token=sesame", ["goal"]))
    for _ in range(MAX_ATTEMPTS):
        _due_again(database)
        send(outbox, outbox.take(), read_settings())
    failed = _stored(database)[0]
    assert (failed.state, failed.attempts) == ("failed", MAX_ATTEMPTS)
    assert "sesame" not in failed.error
    _due_again(database)
    assert outbox.take() is None


def test_two_senders_do_not_take_the_same_message(post, tmp_path):
    outbox = post(sink_of(f"file:{tmp_path / 'a'}", ["goal"]))
    start, taken = threading.Barrier(6), []

    def take():
        start.wait()
        taken.append(outbox.take())

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(notice is not None for notice in taken) == 1


class MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as a client without encryption needs."""

    mails: list[str] = []  # noqa: RUF012, shared on purpose: the test reads it

    def handle(self):
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                mail = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    mail += part
                self.mails.append(mail.decode())
            if line.upper().startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


def test_a_mail_says_it_in_the_subject_and_how_to_see_more(database, post):
    MailServer.mails.clear()
    with socketserver.TCPServer(("127.0.0.1", 0), MailServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        smtp = Smtp(host="127.0.0.1", port=server.server_address[1], security="none")
        outbox = post(sink_of("mailto:ops@example.com", ["goal"]))
        send(outbox, outbox.take(), read_settings(smtp=smtp))
        server.shutdown()
    (mail,) = MailServer.mails
    assert "Subject: weekly: below the goal" in mail
    assert "To: ops@example.com" in mail
    assert "waferlag runs show" in mail
    assert _stored(database)[0].state == "sent"


@pytest.fixture
def certificate(tmp_path):
    """A certificate that nobody vouches for, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate can be made")
    file = tmp_path / "own.pem"
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(file), "-out", str(tmp_path / "c.pem")]
    subprocess.run(["openssl", "req", *words], check=True, capture_output=True)
    file.write_text(file.read_text() + (tmp_path / "c.pem").read_text())
    return file


@pytest.mark.parametrize("vouched_for", [True, False])
def test_mail_goes_by_tls_only_to_a_server_whose_certificate_is_vouched_for(
    database, post, certificate, monkeypatch, vouched_for
):
    MailServer.mails.clear()
    if vouched_for:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        smtp = Smtp(host="localhost", port=server.server_address[1], security="tls")
        outbox = post(sink_of("mailto:ops@example.com", ["goal"]))
        send(outbox, outbox.take(), read_settings(smtp=smtp))
        server.shutdown()
    (notice,) = _stored(database)
    assert len(MailServer.mails) == vouched_for
    assert notice.state == ("sent" if vouched_for else "waiting")
    assert vouched_for or "CERTIFICATE_VERIFY_FAILED" in notice.error


def test_without_a_mail_server_the_message_waits_and_says_which_setting_is_missing(database, post):
    outbox = post(sink_of("mailto:ops@example.com", ["goal"]))
    send(outbox, outbox.take(), read_settings())
    assert "WAFERLAG_SMTP__HOST" in _stored(database)[0].error


@pytest.mark.parametrize(
    "address", ["", "ftp://host/x", "https://", "mailto:nobody", "mailto:a@b\nBcc: c@d", "file:", "file:/no/such/a"]
)
def test_an_address_that_is_no_sink_is_refused(address):
    with pytest.raises(UserMistakeError):
        sink_of(address, ["goal"])


def test_an_unknown_topic_has_a_nearest_one():
    with pytest.raises(UnknownNameError, match="did you mean goal"):
        sink_of("https://example.com/x", ["goals"])


def test_the_secret_of_a_webhook_is_not_shown():
    assert shown_sink(sink_of("https://u:p@hooks.example/T0/B1?key=sesame", [])) == "https://hooks.example/…"


def test_a_plan_below_its_goal_and_an_order_that_is_due_are_told(make_record):
    below = make_record(probability=0.84)
    goal, order = about_plan("r", "weekly", below, TODAY, warn_days=14)
    assert goal.subject == "weekly: demand is met with 84 % (81–87 %) in Sep 2025, below the goal of 90 %"
    assert order.subject == "weekly: the next order is due by 14 Aug 2025, in 4 days"
    assert order.body["next_order_by"] == "2025-08-14"


def test_a_plan_that_is_good_and_has_time_is_not_told(make_record):
    assert about_plan("r", "weekly", make_record(probability=0.95), TODAY, warn_days=3) == []


def test_an_order_by_date_that_has_passed_is_told(make_record):
    (late,) = about_plan("r", "weekly", make_record(), dt.date(2025, 8, 20), warn_days=14)
    assert late.subject.endswith("was due by 14 Aug 2025, 6 days ago")


@pytest.mark.parametrize(
    "address",
    [
        "htps://hooks.example/sesame",
        "hooks.example/sesame",
        "https:/hooks.example/sesame",
        "https://[hooks/sesame",
        "https://hooks.example:port/sesame",
        "https://hooks.example/sesame with blanks",
        "https://hooks.example/sésame",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_text(address):
    with pytest.raises(UserMistakeError) as raised:
        sink_of(address, ["goal"])
    assert "https://HOST/PATH" in str(raised.value)
    assert "sesame" not in str(raised.value)
    assert "hooks" not in str(raised.value)


def test_a_name_and_password_go_into_the_header_and_into_no_error(database, post, listener):
    hook = listener(500)
    outbox = post(sink_of(hook.url.replace("http://", "http://planner:open%20up@"), ["goal"]))
    send(outbox, outbox.take(), read_settings())
    assert hook.got[0][0]["Authorization"] == "Basic " + base64.b64encode(b"planner:open up").decode()
    assert _stored(database)[0].error == "HTTPError: HTTP Error 500: Internal Server Error"


def test_what_a_server_repeats_of_the_address_is_not_stored(database, post):
    class Echo(socketserver.StreamRequestHandler):
        def handle(self):
            line = self.rfile.readline().decode()
            self.wfile.write(f"HTTP/1.1 404 nothing at {line.split()[1]}, that is open up\r\n\r\n".encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        outbox = post(sink_of(f"http://127.0.0.1:{server.server_address[1]}/T0/sesame?key=open%20up", ["goal"]))
        send(outbox, outbox.take(), read_settings())
        server.shutdown()
    error = _stored(database)[0].error
    assert "404" in error
    assert "sesame" not in error
    assert "open" not in error


def test_an_address_as_it_is_read_does_not_show_itself(database, post):
    outbox = post(sink_of("https://hooks.example/sesame", ["goal"]))
    assert "sesame" not in repr(outbox.take())


@pytest.mark.parametrize(
    ("host", "named", "goes"),
    [
        ("127.0.0.1", "", True),
        ("127.0.0.1", "hooks.example", False),
        ("localhost", "localhost", True),
        ("localhost", "127.0.0.1,::1", True),
        ("127.0.0.1", "10.0.0.0/8,127.0.0.0/8", True),
        ("10.0.0.1", "", False),
        ("169.254.169.254", "", False),
        ("[fe80::1]", "", False),
        ("192.168.1.9", "hooks.example", False),
    ],
)
def test_a_webhook_goes_to_public_hosts_this_machine_and_what_is_named(
    database, post, listener, monkeypatch, host, named, goes
):
    hook = listener()
    if named:
        monkeypatch.setenv("WAFERLAG_WEBHOOK_HOSTS", named)
    outbox = post(sink_of(hook.url.replace("127.0.0.1", host), ["goal"]))
    send(outbox, outbox.take(), read_settings(webhook_seconds=2))
    assert bool(hook.got) == goes
    if not goes:
        assert "name it in WAFERLAG_WEBHOOK_HOSTS" in _stored(database)[0].error


def test_a_name_that_is_looked_up_is_judged_by_what_is_connected_to(database, post, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *how, **more: real("10.0.0.1", *how, **more))
    outbox = post(sink_of("https://hooks.example/sesame", ["goal"]))
    send(outbox, outbox.take(), read_settings(webhook_seconds=2))
    assert "webhooks may not go to hooks.example" in _stored(database)[0].error
