"""Where messages go: a file, a webhook, or e-mail."""

import json
import logging
import os
import smtplib
import ssl
import urllib.error
import urllib.parse
import urllib.request
from email.message import EmailMessage
from http.client import HTTPException
from pathlib import Path
from typing import Any

from db.notices import Notice, Outbox
from executor.errors import UnknownNameError, UserMistakeError
from waferlag.settings import Settings, Smtp
from waferlag.worker.alerts import TOPICS

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
    if scheme in ("http", "https") and urllib.parse.urlsplit(address).hostname:
        return {"kind": "webhook", "url": address, "topics": topics}
    if scheme == "mailto" and "@" in rest and not any(c.isspace() for c in rest):
        return {"kind": "email", "to": rest, "topics": topics}
    raise SinkError(f"{address!r} is no sink: give file:PATH, https://HOST/PATH or mailto:ADDRESS")


def shown_sink(sink: dict[str, Any]) -> str:
    """A sink for lists and logs. The path and query of a webhook are left out: they often are its secret."""
    if sink["kind"] == "webhook":
        parts = urllib.parse.urlsplit(sink["url"])
        return f"{parts.scheme}://{parts.hostname}/…"
    return f"file:{sink['path']}" if sink["kind"] == "file" else f"mailto:{sink['to']}"


def send(outbox: Outbox, notice: Notice, settings: Settings) -> None:
    """Deliver one notice, or leave it in the outbox with the reason for its next attempt."""
    try:
        {"file": _to_file, "webhook": _to_webhook, "email": _by_email}[notice.sink["kind"]](notice, settings)
    except (OSError, HTTPException, smtplib.SMTPException, SinkError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".replace(notice.sink.get("url", "\0"), "its URL")
        log.warning("%s was not told (attempt %d): %s", shown_sink(notice.sink), notice.attempt, reason)
        outbox.not_sent(notice, reason)
    else:
        log.info("%s was told: %s", shown_sink(notice.sink), notice.subject)
        outbox.sent(notice)


def _to_file(notice: Notice, settings: Settings) -> None:
    """One line of JSON at the end, in one write, so that lines of several workers do not mix."""
    line = json.dumps({"id": notice.id, **notice.body}, ensure_ascii=False) + "\n"
    with open(notice.sink["path"], "ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that has moved is an error: following would hand the message to whoever answers."""

    def redirect_request(self, *args: Any, **kw: Any) -> None:
        return None


def _to_webhook(notice: Notice, settings: Settings) -> None:
    """POST the message as JSON; any answer but 2xx is tried again later under the same Idempotency-Key."""
    request = urllib.request.Request(
        notice.sink["url"],
        data=json.dumps({"id": notice.id, "text": notice.subject, **notice.body}).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": notice.id, "User-Agent": "waferlag"},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirect)
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
    mail.set_content(_letter(notice))
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


def _letter(notice: Notice) -> str:
    sentence = notice.body.get("sentence") or notice.body.get("error") or notice.subject
    details = json.dumps(notice.body, indent=2, ensure_ascii=False)
    return f"{notice.subject}\n\n{sentence}\n\nSee it: waferlag runs show {notice.run_id}\n\n{details}\n"
