"""Starts one server at a time and says where it listens.

Called by serving.py. Both get the same model and threads; llama-server gets a slot and a share of
the context for every stream. Errors: `Failed`, with the end of what the server logged.
"""

import argparse
import http.client
import json
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 120
POLL_S = 0.05
# Tokens that a stream has room for beside its answer: words are a few tokens each.
TOKENS_PER_WORD = 6


class Failed(Exception):
    """A server that did not start or did not answer; the text says why."""


@dataclass
class Server:
    """A server that answers."""

    name: str
    address: str
    model: str


@contextmanager
def start(engine: str, options: argparse.Namespace, concurrent: int) -> Iterator[Server]:
    """Runs a server while the caller uses it."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        port = _free_port()
        if engine == "ours":
            command = _ours(options, Path(folder), port)
        else:
            command = _llama(options, concurrent, port)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            server = Server(engine, f"127.0.0.1:{port}", options.model.stem)
            if not _answers(process, server.address):
                log.seek(0)
                said = log.read().decode(errors="replace")[-600:]
                raise Failed(f"{shlex.join(command)} does not serve:\n{said}")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ours(options: argparse.Namespace, folder: Path, port: int) -> list[str]:
    # A configuration of its own, so that none of this machine's is read.
    (folder / "swarmllm.toml").write_text("", encoding="utf-8")
    return [
        options.swarmllm, "serve", "--config", str(folder / "swarmllm.toml"),
        "--data-dir", str(folder), "--http", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0",
        "--no-mdns", "--offline", "--model", str(options.model),
        "--threads", str(options.threads),
    ]


def _llama(options: argparse.Namespace, concurrent: int, port: int) -> list[str]:
    room = options.words * TOKENS_PER_WORD + options.gen + 64
    threads = str(options.threads)
    return [
        options.llama_server, "--host", "127.0.0.1", "--port", str(port), "-m", str(options.model),
        "-t", threads, "-tb", threads, "-np", str(concurrent), "-c", str(room * concurrent),
        "--jinja", *shlex.split(options.llama_flags),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(process: subprocess.Popen, address: str) -> bool:
    """Waits until the server is healthy; false when it ends or takes too long."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            connection = http.client.HTTPConnection(address, timeout=5)
            connection.request("GET", "/health")
            response = connection.getresponse()
            if response.status == 200 and json.loads(response.read())["status"] == "ok":
                return True
        except OSError:
            pass
        time.sleep(POLL_S)
    return False
