"""A proxy on loopback that writes down what passes, and can break an answer.

Used by the checks of the agents: it stands between an agent and a node, so that the agent's real
requests can be looked at. Every exchange is kept as an [`Exchange`]; bodies pass unchanged.
"""

import http.client
import http.server
import json
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass
class Exchange:
    """One request and what came back."""

    method: str
    path: str
    body: bytes
    at_s: float
    status: int = 0
    answer: bytearray = field(default_factory=bytearray)
    #: How long it took, and the longest silence in it.
    seconds: float = 0.0
    silence_s: float = 0.0
    was_cut: bool = False

    def json(self):
        """The request's body."""
        return json.loads(self.body or b"{}")

    def usage(self):
        """The last usage that the answer told, by any dialect's place for it."""
        found = {}
        lines = bytes(self.answer).decode(errors="replace").splitlines()
        for line in lines:
            text = line.removeprefix("data: ")
            if text.startswith("{"):
                event = json.loads(text)
                for holder in (event, event.get("message") or {}, event.get("response") or {}):
                    found |= holder.get("usage") or {}
        return found


class Proxy:
    """Forwards to a node; `cut_after` makes the next streamed answer end after so many bytes."""

    def __init__(self, url):
        self.upstream = urllib.parse.urlsplit(url).netloc
        self.exchanges = []
        self.cut_after = None
        handler = type("Handler", (Handler,), {"proxy": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def posts(self, path):
        """The POST requests to a path so far."""
        return [e for e in self.exchanges
                if e.method == "POST" and e.path.split("?")[0].endswith(path)]


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    proxy = None

    def log_message(self, *_):
        """Says nothing."""

    def forward(self):
        """Passes a request on and its answer back."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        exchange = Exchange(self.command, self.path, body, time.monotonic())
        self.proxy.exchanges.append(exchange)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=1200)
        try:
            upstream.request(self.command, self.path, body or None, headers)
            self.answer(exchange, upstream.getresponse())
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()
            exchange.seconds = time.monotonic() - exchange.at_s

    def answer(self, exchange, response):
        """Passes an answer back, piece by piece."""
        exchange.status = response.status
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        is_stream = "event-stream" in (response.getheader("content-type") or "")
        has_body = self.command != "HEAD"
        if has_body:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        cut_after = None
        if is_stream:
            cut_after, self.proxy.cut_after = self.proxy.cut_after, None
        last = time.monotonic()
        while has_body and (piece := response.read1(65536)):
            now = time.monotonic()
            exchange.silence_s, last = max(exchange.silence_s, now - last), now
            exchange.answer += piece
            if cut_after is not None and len(exchange.answer) > cut_after:
                exchange.was_cut = True
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if has_body:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_HEAD = do_DELETE = do_OPTIONS = forward
