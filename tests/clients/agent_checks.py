"""What the large agents are asked to do, and how it is known that they did it.

Run by `agents` inside its network namespace. The scripted model drives them: it asks for a command
whose output it can't know (`echo needle-$((40+2))`) and says what came back. A proxy keeps what was
really sent. Every agent has an empty home, an empty working folder and no telemetry.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
from dataclasses import dataclass

from harness import HERE, Failed, Node, expect, wait_for, write_script
from proxy import Proxy

HELLO = "Hello from the swarm."
LONGEST_SILENCE_S = 16
TABLE = HERE.parents[1] / "docs/clients.md"


@dataclass
class Bench:
    """What a check has: the program, the agents' folder, an agent, and where it works."""

    program: str
    cache: pathlib.Path
    home: pathlib.Path
    prefill_s: float
    version: str = ""

    @contextlib.contextmanager
    def served(self, config="", **script):
        """A node with the scripted model behind a proxy."""
        with tempfile.TemporaryDirectory() as folder:
            model = write_script(folder, **script)
            with Node(self.program, model, more=["--kv-memory", "256MiB"], config=config) as node:
                with Proxy(node.url) as proxy:
                    proxy.node = node
                    yield proxy

    def start(self, command, **environment):
        """Runs an agent to its end; answers what it printed."""
        work = self.home / "work"
        work.mkdir(exist_ok=True)
        known = {"HOME": str(self.home), "PATH": os.environ["PATH"], "TERM": "dumb",
                 "LANG": "C.UTF-8", "NO_COLOR": "1"}
        done = subprocess.run(
            list(map(str, command)), cwd=work, env=known | environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=120 + 2 * self.prefill_s,
        )
        return done.stdout

    def claude(self, proxy, prompt, *more):
        """Claude Code, without anybody to ask."""
        return self.start(
            [self.cache / f"claude-{self.version}/node_modules/.bin/claude", "-p", prompt,
             "--model", "dialogue", "--allowedTools", "Bash", *more],
            ANTHROPIC_BASE_URL=proxy.url, ANTHROPIC_API_KEY="unused", DISABLE_TELEMETRY="1",
            DISABLE_AUTOUPDATER="1", DISABLE_ERROR_REPORTING="1",
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        )

    def codex(self, proxy, prompt):
        """Codex, allowed to run commands."""
        folder = self.home / "codex"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(
            'model = "dialogue"\nmodel_provider = "swarm"\ncheck_for_update_on_startup = false\n'
            "[analytics]\nenabled = false\n"
            '[model_providers.swarm]\nname = "swarm"\nwire_api = "responses"\n'
            f'env_key = "SWARM_KEY"\nbase_url = "{proxy.url}/v1"\n'
        )
        return self.start(
            [self.cache / "codex/node_modules/.bin/codex", "exec", "--skip-git-repo-check",
             "-s", "danger-full-access", prompt],
            CODEX_HOME=str(folder), SWARM_KEY="unused",
        )

    def opencode(self, proxy, prompt):
        """opencode, allowed to run commands."""
        settings = self.home / "opencode.json"
        model = {"name": "dialogue", "limit": {"context": 200_000, "output": 8000}}
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "swarm",
                    "options": {"baseURL": proxy.url + "/v1", "apiKey": "unused"},
                    "models": {"dialogue": model}}
        settings.write_text(json.dumps({
            "provider": {"swarm": provider}, "permission": {"bash": "allow"},
            "autoupdate": False, "share": "disabled",
        }))
        return self.start(
            [self.cache / "opencode/node_modules/.bin/opencode", "run", "-m", "swarm/dialogue",
             prompt],
            OPENCODE_CONFIG=str(settings), OPENCODE_DISABLE_MODELS_FETCH="1",
            OPENCODE_DISABLE_AUTOUPDATE="1",
        )

    def aider(self, proxy, prompt, *files):
        """aider, outside of any repository."""
        return self.start(
            [self.cache / "aider/bin/aider", "--model", "openai/dialogue", "--message", prompt,
             "--edit-format", "diff", "--no-git", "--yes-always", "--no-check-update",
             "--no-analytics", "--no-show-model-warnings", "--map-tokens", "0", *files],
            OPENAI_API_BASE=proxy.url + "/v1", OPENAI_API_KEY="unused",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
        )


def messages(proxy):
    """Claude Code's requests for an answer, in order."""
    return proxy.posts("/v1/messages")


def claude_text(bench):
    """A plain answer"""
    with bench.served() as proxy:
        said = bench.claude(proxy, "Say hello")
        expect(HELLO in said, said)
        return f"{len(messages(proxy))} request, {total_input(messages(proxy)[-1])} prompt tokens"


def total_input(exchange):
    """Input tokens by Anthropic's three counts."""
    usage = exchange.usage()
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage.get(name) or 0 for name in names)


def claude_tool(bench):
    """A Bash call and its result"""
    with bench.served() as proxy:
        said = bench.claude(proxy, "Print the needle in Bash")
        expect("needle-42" in said, said)
        asked = messages(proxy)
        read = asked[-1].usage().get("cache_read_input_tokens") or 0
        share = read / total_input(asked[-1])
        expect(share > 0.8, f"the second turn read {share:.0%} of its prompt from the cache")
        return f"{len(asked)} requests, the second finds {share:.1%} of its prompt in the cache"


def claude_thinking(bench):
    """Thinking goes back with our signature"""
    with bench.served() as proxy:
        said = bench.claude(proxy, "Print the needle in Bash")
        last = messages(proxy)[-1]
        blocks = [block for message in last.json()["messages"]
                  if message["role"] == "assistant" for block in message["content"]]
        thoughts = [block for block in blocks if block["type"] == "thinking"]
        expect(thoughts and thoughts[0]["signature"], blocks)
        expect(last.status == 200, last)
        if not thoughts[0]["thinking"]:
            return "echoed without its text, as the client asked for it"
        expect("my thought came back" in said, said)
        return "echoed and read by the model"


def claude_slow(bench):
    """A prompt that takes long to read"""
    with bench.served() as proxy:
        bench.claude(proxy, "Say hello")
        n_tokens = total_input(messages(proxy)[-1])
    with bench.served(prefill_tokens_per_s=n_tokens / bench.prefill_s) as proxy:
        said = bench.claude(proxy, "Say hello")
        asked = messages(proxy)
        expect(HELLO in said, said)
        expect(len(asked) == 1, f"{len(asked)} requests: it tried again")
        expect(asked[0].seconds > 0.9 * bench.prefill_s, asked[0].seconds)
        expect(asked[0].silence_s < LONGEST_SILENCE_S, f"silent for {asked[0].silence_s} s")
        return f"{asked[0].seconds:.0f} s, one request, never silent for {asked[0].silence_s:.0f} s"


def claude_lost_stage(bench):
    """A node that dies while the prompt is read"""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as nodes:
        model = write_script(folder, prefill_tokens_per_s=1500)

        def start(layers, *more):
            options = ["--kv-memory", "256MiB", "--layers", layers, *more]
            return nodes.enter_context(Node(bench.program, model, more=options))

        first = start("0-1")
        others = [start("1-4", "--join", first.ready["listen"]) for _ in range(2)]
        wait_for("route", lambda: first.get("/v1/models")["data"][0]["meta"]["servable"])
        proxy = nodes.enter_context(Proxy(first.url))
        killer = threading.Thread(target=kill_who_computes, args=(proxy, others))
        killer.start()
        said = bench.claude(proxy, "Say hello")
        killer.join()
        asked = messages(proxy)
        expect(HELLO in said, said)
        expect(len(asked) == 1, f"{len(asked)} requests: it tried again")
        expect(sum(other.process.poll() is not None for other in others) == 1, "nobody died")
        return f"one request, {asked[0].seconds:.0f} s"


def kill_who_computes(proxy, others):
    """Kills the one of these nodes whose pages fill."""
    wait_for("request", lambda: messages(proxy))
    busy = wait_for("stage that computes", lambda: next(
        (other for other in others if other.metric("swarmllm_num_requests_running") > 0), None))
    time.sleep(2)
    busy.signal(signal.SIGKILL)
    busy.process.wait()


def claude_cut(bench):
    """A connection that is cut in the answer"""
    with bench.served(decode_tokens_per_s=50) as proxy:
        proxy.cut_after = 3000
        said = bench.claude(proxy, "Count to forty")
        asked = messages(proxy)
        expect(asked[0].was_cut, "nothing was cut")
        expect("39 40" in said, said)
        how = "streamed" if asked[-1].json().get("stream") else "whole"
        return f"asked again, the answer came {how}"


def claude_busy(bench):
    """A node whose queue is full"""
    config = "[scheduler]\nrunning = 1\nwaiting = 1\n"
    with bench.served(config, decode_tokens_per_s=10) as proxy:
        body = {"model": "dialogue", "max_tokens": 500,
                "messages": [{"role": "user", "content": "Count to forty"}]}

        def occupy():
            request = urllib.request.Request(
                proxy.node.url + "/v1/messages", json.dumps(body).encode(),
                {"content-type": "application/json"})
            urllib.request.urlopen(request, timeout=120).read()

        others = [threading.Thread(target=occupy) for _ in range(2)]
        for other in others:
            other.start()
        while proxy.node.metric("swarmllm_num_requests_waiting") < 1:
            pass
        said = bench.claude(proxy, "Say hello")
        for other in others:
            other.join()
        statuses = [asked.status for asked in messages(proxy)]
        expect(statuses[0] == 529 and statuses[-1] == 200, statuses)
        expect(HELLO in said, said)
        return f"{statuses.count(529)} times 529, then the answer"


def claude_too_long(bench):
    """A prompt beyond the context"""
    with bench.served(context=4096) as proxy:
        said = bench.claude(proxy, "Say hello")
        refused = messages(proxy)[0]
        expect(refused.status == 400, refused.status)
        expect(re.search(rb"prompt is too long: \d+ tokens > \d+ maximum", refused.answer),
               bytes(refused.answer))
        expect("prompt is too long" in said.lower(), said)
        return "told in its own words"


def claude_sessions(bench):
    """A second session finds tools and system text in the cache"""
    with bench.served() as proxy:
        bench.claude(proxy, "Say hello")
        bench.claude(proxy, "Greet me in another way, and then tell me of the weather")
        last = messages(proxy)[-1]
        asked = last.json()
        shared = {key: asked[key] for key in ("model", "system", "tools")}
        shared["messages"] = [{"role": "user", "content": "x"}]
        counted = proxy.node.post("/v1/messages/count_tokens", shared)["input_tokens"]
        share = (last.usage().get("cache_read_input_tokens") or 0) / counted
        expect(share > 0.9, f"{share:.1%} of tools and system text was in the cache")
        return f"{min(share, 1):.1%} of {counted} tokens found there"


def claude_mcp(bench):
    """The node's own tools over MCP"""
    with bench.served() as proxy:
        servers = {"mcpServers": {"swarm": {"type": "http", "url": proxy.node.url + "/mcp"}}}
        settings = bench.home / "mcp.json"
        settings.write_text(json.dumps(servers))
        more = ["--mcp-config", settings, "--strict-mcp-config", "--output-format", "stream-json",
                "--verbose"]
        said = bench.claude(proxy, "Say hello", *more)
        first = next(json.loads(line) for line in said.splitlines() if '"init"' in line)
        tools = [name for name in first["tools"] if name.startswith("mcp__swarm__")]
        expect(len(tools) == 7, first)
        return "seven tools"


def codex_text(bench):
    """A plain answer"""
    with bench.served() as proxy:
        said = bench.codex(proxy, "Say hello")
        expect(HELLO in said, said)
        asked = proxy.posts("/v1/responses")
        expect("tokens used" in said, said)
        return f"{len(asked)} request, {asked[-1].usage()['input_tokens']} prompt tokens"


def codex_tool(bench):
    """An exec_command call and its result"""
    with bench.served() as proxy:
        said = bench.codex(proxy, "Print the needle in Codex")
        expect("It printed needle-42." in said, said)
        usage = proxy.posts("/v1/responses")[-1].usage()
        share = usage["input_tokens_details"]["cached_tokens"] / usage["input_tokens"]
        expect(share > 0.9, usage)
        return f"the second turn finds {share:.1%} of its prompt in the cache"


def opencode_tool(bench):
    """Two requests at once, a call and its result"""
    with bench.served(decode_tokens_per_s=15) as proxy:
        said = bench.opencode(proxy, "Print the needle in opencode")
        expect("It printed needle-42." in said, said)
        asked = proxy.posts("/v1/chat/completions")
        spans = sorted((e.at_s, e.at_s + e.seconds) for e in asked)
        at_once = any(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:]))
        expect(asked[-1].usage().get("completion_tokens"), "no usage was told")
        return f"{len(asked)} requests, {'some' if at_once else 'none'} at once"


def aider_edit(bench):
    """A file is changed"""
    work = bench.home / "work"
    work.mkdir(exist_ok=True)
    file = work / "hello.py"
    file.write_text('print("hello")\n')
    with bench.served() as proxy:
        said = bench.aider(proxy, "Change the greeting in hello.py", "hello.py")
        expect(file.read_text() == 'print("hello, swarm")\n', said)
        return f"{len(proxy.posts('/v1/chat/completions'))} request"


CLAUDE = (claude_text, claude_tool, claude_thinking, claude_slow, claude_lost_stage, claude_cut,
          claude_busy, claude_too_long, claude_sessions, claude_mcp)


def run(options, cache, claude_versions):
    """Runs the checks; answers the exit code."""
    plan = [("claude", version, check) for version in claude_versions for check in CLAUDE]
    plan += [("codex", "0.169", codex_text), ("codex", "0.169", codex_tool),
             ("opencode", "1.18", opencode_tool), ("aider", "0.86", aider_edit)]
    rows, failed = [], 0
    for agent, version, check in plan:
        if not f"{agent}-{version}".startswith(options.only):
            continue
        with tempfile.TemporaryDirectory(prefix="swa-", ignore_cleanup_errors=True) as home:
            prefill_s = 400 if options.long else 25
            bench = Bench(options.program, cache, pathlib.Path(home), prefill_s, version)
            began = time.monotonic()
            try:
                outcome = check(bench)
            except (Failed, OSError, subprocess.TimeoutExpired, KeyError, ValueError, IndexError,
                    StopIteration, urllib.error.URLError):
                traceback.print_exc()
                outcome, failed = "FAILED", failed + 1
            seconds = time.monotonic() - began
        row = (agent, version, check.__doc__, outcome, f"{seconds:.0f} s")
        rows.append(row)
        print(" | ".join(row), flush=True)
    if options.table:
        write_table(rows)
    return 1 if failed else 0


def write_table(rows):
    """Puts the outcome between the marks in the document."""
    names = {"claude": "Claude Code", "codex": "Codex", "opencode": "opencode", "aider": "aider"}
    lines = ["| agent | version | check | outcome | time |", "|---|---|---|---|---|"]
    lines += [f"| {names[row[0]]} | {' | '.join(row[1:])} |" for row in rows]
    before, rest = TABLE.read_text().split("<!-- agents -->\n", 1)
    after = rest.split("<!-- end -->", 1)[1]
    table = "\n".join(lines)
    TABLE.write_text(f"{before}<!-- agents -->\n{table}\n<!-- end -->{after}")
