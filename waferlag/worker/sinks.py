"""Where messages go: a file, a webhook, or e-mail."""

import base64
import ipaddress
import json
import logging
import os
import smtplib
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from email.message import EmailMessage
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from db.notices import Notice, Outbox, shown_sink
from executor.errors import UnknownNameError, UserMistakeError
from executor.measure.addresses import hosts_of, reach_of
from waferlag.settings import Settings, Smtp
from waferlag.worker.alerts import TOPICS

SHORTEST_SECRET = 4
"""Parts of an address shorter than this stand in many a message by chance."""

log = logging.getLogger("waferlag.worker.sinks")


class SinkError(UserMistakeError):
    """A sink that cannot be used as it was given."""


def sink_of(address: str, topics: list[str]) -> dict[str, Any]:
    """A sink as it is stored: ``file:PATH``, ``https://...`` or ``mailto:ADDRESS``, and what it is told of.

    Raises :class:`SinkError` or :class:`UnknownNameError` with the mend.
    """
    for topic in topics:
        if topic not in TOPICS:
            raise UnknownNameError("topic", topic, TOPICS)
    scheme, _, rest = address.partition(":")
    if scheme == "file" and rest:
        path = Path(rest.removeprefix("//")).expanduser().absolute()
        if not path.parent.is_dir() or path.is_dir():
            raise SinkError(f"{address}: give a file in a folder that exists")
        return {"kind": "file", "path": str(path), "topics": topics}
    if scheme in ("http", "https"):
        return {"kind": "webhook", "url": _webhook(address), "topics": topics}
    if scheme == "mailto" and "@" in rest and not any(c.isspace() for c in rest):
        return {"kind": "email", "to": rest, "topics": topics}
    raise SinkError(
        "what --sink gives is no sink (it is not shown: it may hold a secret): give file:PATH, https://HOST/PATH or "
        "mailto:ADDRESS"
    )


def _webhook(address: str) -> str:
    """An address that a request can be sent to; its text is in no message."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not address.isascii() or not address.isprintable() or " " in address:
        raise SinkError("--sink: a webhook is http://HOST:PORT/PATH or https://HOST/PATH, in ASCII and without blanks")
    return address


def send(outbox: Outbox, notice: Notice, settings: Settings) -> None:
    """Deliver one notice, or leave it in the outbox with the reason for its next attempt."""
    try:
        {"file": _to_file, "webhook": _to_webhook, "email": _by_email}[notice.sink["kind"]](notice, settings)
    except (OSError, HTTPException, smtplib.SMTPException, UserMistakeError, ValueError) as error:
        reason = _without_secrets(f"{type(error).__name__}: {error}", notice, settings.smtp)
        log.warning("%s was not told (attempt %d): %s", shown_sink(notice.sink), notice.attempt, reason)
        outbox.not_sent(notice, reason)
    else:
        log.info("%s was told: %s", shown_sink(notice.sink), notice.subject)
        outbox.sent(notice)


def _without_secrets(text: str, notice: Notice, smtp: Smtp) -> str:
    """An error's text without the webhook's address or the password of e-mail, also where a server repeats a part."""
    secrets = [smtp.password.get_secret_value()]
    secrets += [base64.b64encode(f"{before}{secrets[0]}".encode()).decode() for before in ("", f"\0{smtp.user}\0")]
    if notice.sink["kind"] == "webhook":
        url = notice.sink["url"].get_secret_value()
        parts = urllib.parse.urlsplit(url)
        values = [value for _, value in urllib.parse.parse_qsl(parts.query)]
        secrets += [url, f"{parts.path}?{parts.query}", parts.path, parts.query, *values, *parts.path.split("/")]
        secrets += [parts.password or "", _basic(parts)]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***").replace(urllib.parse.unquote(secret), "***")
    return text


def _to_file(notice: Notice, settings: Settings) -> None:
    """One line of JSON at the end, in one write, so that lines of several workers do not mix."""
    line = json.dumps({"id": notice.id, **notice.body}, ensure_ascii=False) + "\n"
    # A pipe that nobody reads would stop the worker's messages for ever.
    handle = os.open(notice.sink["path"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    with open(handle, "ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file)


def _basic(parts: urllib.parse.SplitResult) -> str:
    """Name and password of an address as HTTP's basic authentication sends them."""
    account = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
    return base64.b64encode(":".join(account).encode()).decode()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that has moved is an error: following would hand the message to whoever answers."""

    def redirect_request(self, *args: Any, **kw: Any) -> None:
        return None


def _connected(hosts: tuple[str, ...], place: tuple[str, int], *how: Any) -> socket.socket:
    """A connection to an address that was judged, so that a name cannot mean another one a moment later."""
    host, port = place
    allowed = hosts_of(hosts)
    found = [str(where[0]) for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        unlisted = not hosts and reach_of(address) in ("public", "loopback")
        if not unlisted and not allowed.permits(host, address):
            mend = "name it in WAFERLAG_WEBHOOK_HOSTS, by its address where it is no public one"
            raise SinkError(f"webhooks may not go to {host} ({text}): {mend}")
    for text in found[:-1]:
        with suppress(OSError):
            return socket.create_connection((text, port), *how)
    return socket.create_connection((found[-1], port), *how)


class _Http(urllib.request.HTTPHandler):
    """HTTP over connections whose address is judged; a proxy of the environment judges for itself."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        super().__init__()
        self.hosts = hosts

    def do_open(self, http_class: Any, req: urllib.request.Request, **how: Any) -> Any:
        def opened(*words: Any, **more: Any) -> Any:
            connection = http_class(*words, **more)
            if not (req.has_proxy() or getattr(req, "_tunnel_host", None)):  # https goes through a tunnel
                connection._create_connection = partial(_connected, self.hosts)
            return connection

        return super().do_open(opened, req, **how)


class _Https(_Http, urllib.request.HTTPSHandler):
    """The same over TLS."""


def _to_webhook(notice: Notice, settings: Settings) -> None:
    """POST the message as JSON; any answer but 2xx is tried again later under the same Idempotency-Key."""
    parts = urllib.parse.urlsplit(notice.sink["url"].get_secret_value())
    request = urllib.request.Request(
        urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])),
        data=json.dumps({"id": notice.id, "text": notice.subject, **notice.body}).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": notice.id, "User-Agent": "waferlag"},
        method="POST",
    )
    if parts.username is not None:
        request.add_header("Authorization", f"Basic {_basic(parts)}")
    opener = urllib.request.build_opener(_NoRedirect, _Http(settings.webhook_hosts), _Https(settings.webhook_hosts))
    with opener.open(request, timeout=settings.webhook_seconds) as answer:
        answer.read(1024)


def _by_email(notice: Notice, settings: Settings) -> None:
    smtp = settings.smtp
    if not smtp.host:
        raise SinkError("no server for e-mail is set: give WAFERLAG_SMTP__HOST")
    mail = EmailMessage()
    mail["Subject"] = notice.subject.replace("\n", " ")
    mail["From"] = smtp.sender
    mail["To"] = notice.sink["to"]
    mail["Message-ID"] = f"<{notice.id}@waferlag>"
    sentence = notice.body.get("sentence") or notice.body.get("error") or notice.subject
    details = json.dumps(notice.body, indent=2, ensure_ascii=False)
    see = f"See it: waferlag runs show {notice.run_id}"
    mail.set_content(f"{notice.subject}\n\n{sentence}\n\n{see}\n\n{details}\n")
    with _mail_server(smtp, settings.webhook_seconds) as server:
        if smtp.user:
            server.login(smtp.user, smtp.password.get_secret_value())
        server.send_message(mail)


def _mail_server(smtp: Smtp, seconds: float) -> smtplib.SMTP:
    """A connection to the server. Its certificate is checked: smtplib does not without being told."""
    checked = ssl.create_default_context()
    if smtp.security == "tls":
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=seconds, context=checked)
    server = smtplib.SMTP(smtp.host, smtp.port, timeout=seconds)
    if smtp.security == "starttls":
        try:
            server.starttls(context=checked)
        except BaseException:
            server.close()
            raise
    return server
