"""Nodes and scripted models for the client checks.

Used by the scripts of this folder. A node is the real program on loopback with ports of its own; it
ends with the process that started it. The scripted model `dialogue` is `scripts/dialogue.json` with
the chat template `scripts/dialogue.jinja`, which knows tools and reasoning.
"""

import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE_S = 60
# The tools of the node's MCP server, in the order of its list.
MCP_TOOLS = ["chat", "models", "compare", "research", "batch_prompts", "delegate", "node_info"]


class Failed(Exception):
    """A check that did not hold; the text says what was expected and what came."""


def expect(condition, text):
    """Fails with the text unless the condition holds."""
    if not condition:
        raise Failed(str(text))


def wait_for(what, condition, seconds=DEADLINE_S):
    """Waits until the condition is met, and answers what it answered."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise Failed(f"no {what} within {seconds} s")


def write_script(folder, name="dialogue", **changes):
    """Writes the scripted model into a folder, fields changed; answers what `--model` takes."""
    script = json.loads((HERE / "scripts/dialogue.json").read_text())
    script["template"] = (HERE / "scripts/dialogue.jinja").read_text()
    script.update(changes)
    path = pathlib.Path(folder) / f"{name}.json"
    path.write_text(json.dumps(script))
    return f"script:{path}"


class Node:
    """A serving node; use it with `with`."""

    def __init__(self, program, *models, more=(), config=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="swc-"))
        settings = self.folder / "swarmllm.toml"
        settings.write_text(config)
        command = [program, "serve", "--config", str(settings), "--http", "127.0.0.1:0",
                   "--data-dir", str(self.folder / "data"), "--listen", "127.0.0.1:0",
                   "--no-mdns", "--until-stdin-closes"]
        for model in models:
            command += ["--model", model]
        self.log = open(self.folder / "log", "w+b")
        self.process = subprocess.Popen(
            [*command, *more], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.log
        )
        ready = self.folder / "data/ready.json"
        try:
            wait_for("ready.json", lambda: ready.exists() or self.process.poll() is not None)
            self.ready = json.loads(ready.read_text())
        except (Failed, OSError):
            self.close()
            raise Failed(f"the node did not start:\n{self.log_text}") from None
        self.url = f"http://{self.ready['http']}"
        self.data = str(self.folder / "data")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends it and removes its folder."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.seek(0)
        self.log_text = self.log.read().decode(errors="replace")
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def signal(self, number):
        """Sends it a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def get(self, path):
        """The JSON behind a path."""
        with urllib.request.urlopen(self.url + path, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def post(self, path, body):
        """The JSON that answers a JSON body."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def metric(self, name):
        """The sum of a metric's samples."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=DEADLINE_S) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.rsplit(" ", 1)[1] for line in lines if line.split("{")[0].split()[0] == name]
        return sum(map(float, values))


def two_halves(program):
    """Two nodes with half of the demo model each; the first one is asked."""
    first = Node(program, "demo", more=["--layers", "0-3"])
    second = Node(program, "demo", more=["--layers", "3-6", "--join", first.ready["listen"]])

    def servable():
        return "true" in subprocess.run(
            [program, "status", "--data-dir", first.data, "--json"],
            capture_output=True, text=True, check=False,
        ).stdout.split('"servable":', 1)[-1][:6]

    wait_for("route over both halves", servable)
    return first, second
