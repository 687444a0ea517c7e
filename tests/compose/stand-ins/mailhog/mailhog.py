"""Keeps what arrives by SMTP, and answers as Mailhog's API v2 does. Logs as much as Mailhog: a line for each line."""

import json
import secrets
from datetime import datetime, timezone
from email import message_from_bytes
from email.policy import compat32
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller

MESSAGES = []


def mime(message):
    """Returns a message or one of its parts as Mailhog shows it."""
    headers = {}
    for name, value in message.items():
        headers.setdefault(name, []).append(str(value))
    parts = message.get_payload() if message.is_multipart() else []
    body = "" if parts else str(message.get_payload())
    return {"Headers": headers, "Body": body, "Size": len(body), "MIME": {"Parts": [mime(part) for part in parts]} if parts else None}


def address(text):
    mailbox, _, domain = text.rpartition("@")
    return {"Relays": None, "Mailbox": mailbox, "Domain": domain, "Params": ""}


class Sink:
    async def handle_DATA(self, server, session, envelope):
        source = envelope.content
        for line in source.splitlines():
            print(f"[SMTP {session.peer[0]}] {line!r}")
        MESSAGES.append(
            {
                "ID": f"{secrets.token_urlsafe(24)}@mailhog.example",
                "From": address(envelope.mail_from or ""),
                "To": [address(to) for to in envelope.rcpt_tos],
                "Content": mime(message_from_bytes(source, policy=compat32)),
                "Created": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
                "MIME": None,
                "Raw": {
                    "From": envelope.mail_from,
                    "To": envelope.rcpt_tos,
                    "Data": source.decode("utf-8", "replace"),
                    "Helo": session.host_name,
                },
            }
        )
        return "250 Ok: queued"


class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        if url.path != "/api/v2/messages":
            self.send_error(404)
            return
        query = parse_qs(url.query)
        start = int(query.get("start", ["0"])[0])
        limit = int(query.get("limit", ["50"])[0])
        newest_first = MESSAGES[::-1]
        items = newest_first[start : start + limit]
        answer = {"total": len(newest_first), "count": len(items), "start": start, "items": items}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


Controller(Sink(), hostname="0.0.0.0", port=1025, data_size_limit=32 * 1024 * 1024).start()
ThreadingHTTPServer(("0.0.0.0", 8025), Web).serve_forever()
