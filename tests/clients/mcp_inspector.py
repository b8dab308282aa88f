"""The MCP inspector's command line against a running node, over HTTP and over stdio.

Usage: python tests/clients/mcp_inspector.py BASE_URL PATH_TO_SWARMLLM DATA_DIR INSPECTOR
BASE_URL is http://ADDRESS:PORT of the node, DATA_DIR its data folder, INSPECTOR the script of the
inspector, which `node` runs. Exit code 0 when every check passed, 1 otherwise.
Checked, per way in: the list of tools without a complaint about their schemas, a call, a call that
fails, the list of resources, and the resource.
"""

import functools
import json
import subprocess
import sys

from harness import DEADLINE_S, MCP_TOOLS, expect
from report import checks

VERSION = "2.12.0"
# What the inspector exits with for a result that says `isError`.
IS_ERROR = 5


def asked(inspector, target, method, *more, code=0):
    """What the inspector says, as JSON; its exit code is the expected one."""
    command = ["node", inspector, "--cli", "--method", method, *more, *target]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DEADLINE_S,
        stdin=subprocess.DEVNULL,
    )
    expect(done.returncode == code, (command, done))
    return json.loads(done.stdout) if done.stdout else {}


def check_tools(ask):
    """The seven tools are listed, and `--strict` finds nothing wrong with their schemas."""
    listed = ask("tools/list", "--strict")
    expect([tool["name"] for tool in listed["tools"]] == MCP_TOOLS, listed)


def check_call(ask):
    """A call has a text and an object."""
    arguments = json.dumps({"prompt": "What is SwarmLLM?", "max_tokens": 8})
    result = ask("tools/call", "--tool-name", "chat", "--tool-args-json", arguments)
    answer = result["structuredContent"]
    expect(answer["text"] and answer["text"] in result["content"][0]["text"], result)
    expect(answer["usage"]["completion_tokens"] == 8 and answer["route"], result)


def check_failure(ask):
    """A call that fails is a result which says so."""
    arguments = json.dumps({"prompt": "hi", "model": "no/such:model"})
    result = ask(
        "tools/call", "--tool-name", "chat", "--tool-args-json", arguments, code=IS_ERROR
    )
    expect(result["isError"] and "no/such:model" in result["content"][0]["text"], result)


def check_resources(ask):
    """The resource is listed, and can be read."""
    (resource,) = ask("resources/list")["resources"]
    read = ask("resources/read", "--uri", resource["uri"])
    expect(json.loads(read["contents"][0]["text"])["peer_id"], read)


def main():
    """Both ways in."""
    base, program, data, inspector = sys.argv[1:]
    ways = [
        ("over HTTP", [base + "/mcp", "--transport", "http"]),
        ("over stdio", ["--", program, "mcp", "--data-dir", data]),
    ]
    with checks("MCP inspector", VERSION) as check:
        for name, target in ways:
            ask = functools.partial(asked, inspector, target)
            print(f"   {name}")
            for function in [check_tools, check_call, check_failure, check_resources]:
                check(function, ask)


if __name__ == "__main__":
    main()
