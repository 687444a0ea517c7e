"""Answers 200 at HEALTH on PORT, as long as the files in NEEDS, under /etc/grafana, can be read; 404 elsewhere."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Stub(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != os.environ["HEALTH"]:
            self.send_error(404)
            return
        for needed in os.environ["NEEDS"].split():
            file = Path("/etc/grafana") / needed
            if not file.is_file() or not file.read_bytes():
                self.send_error(503, f"{file} cannot be read")
                return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a stand-in of tests/compose\n")

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Stub).serve_forever()
