"""The official MCP Python client against a running node: both transports, both protocol eras.

Usage: python tests/clients/mcp_checks.py BASE_URL PATH_TO_SWARMLLM DATA_DIR
BASE_URL is http://ADDRESS:PORT of the node, DATA_DIR its data folder. Needs the package `mcp` 2.3
or newer. Exit code 0 when every check passed, 1 otherwise.
Checked, per way in: the version that is agreed on, the seven tools, a chat whose result the client
validates against the output schema, progress, failures as results, an unknown tool, the resource,
and a cancelled call that leaves nothing running. Over all ways the answers are the same.
"""

import json
import sys

import anyio
from mcp import Client, MCPError, StdioServerParameters

from harness import MCP_TOOLS

QUESTION = {"prompt": "What is SwarmLLM?", "max_tokens": 40}


async def check_lists(client):
    """Tools and the resource."""
    listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == MCP_TOOLS, listed
    assert all(tool.annotations.read_only_hint for tool in listed.tools), listed
    assert all(tool.output_schema["type"] == "object" for tool in listed.tools), listed
    resources = await client.list_resources()
    assert [str(resource.uri) for resource in resources.resources] == ["swarmllm://status"]
    read = await client.read_resource("swarmllm://status")
    status = json.loads(read.contents[0].text)
    info = await client.call_tool("node_info", {})
    assert info.structured_content["peer_id"] == status["peer_id"], (info, status)


async def check_answer(client):
    """One answer with its route; returns its text."""
    told = []

    async def heard(progress, total, message):
        told.append((progress, message))

    result = await client.call_tool("chat", QUESTION, progress_callback=heard)
    assert not result.is_error, result
    answer = result.structured_content
    assert answer["route"] and answer["text"] and answer["text"] in result.content[0].text, result
    assert told and told == sorted(told), told
    assert "tokens so far" in told[-1][1], told
    return answer["text"]


async def check_failures(client):
    """A tool that fails answers so; only what can't be called at all is an error."""
    for arguments, part in [
        ({"prompt": "hi", "model": "no/such:model"}, "no/such:model"),
        ({"prompt": "hello " * 20_000}, "context"),
        ({"prompt": 3}, "`prompt`"),
        ({}, "`prompt`"),
    ]:
        result = await client.call_tool("chat", arguments)
        assert result.is_error and part in result.content[0].text, (arguments.keys(), result)
    try:
        await client.call_tool("no_such_tool", {})
        raise AssertionError("an unknown tool was called")
    except MCPError as error:
        assert error.code == -32602, error


async def check_cancel(client):
    """A call that is given up leaves nothing running."""
    prompts = [f"Tell me about number {n}." for n in range(32)]
    with anyio.CancelScope() as scope:

        async def heard(progress, total, message):
            scope.cancel()

        await client.call_tool("batch_prompts", {"prompts": prompts}, progress_callback=heard)
        raise AssertionError("the batch was not cancelled")
    with anyio.fail_after(20):
        while True:
            info = await client.call_tool("node_info", {})
            if info.structured_content["answers"]["active"] == 0:
                return
            await anyio.sleep(0.05)


async def check(name, server, mode, version):
    """Every check over one way in; returns the answer's text."""
    async with Client(server, mode=mode) as client:
        assert client.protocol_version == version, (name, client.protocol_version)
        assert client.server_info.name == "swarmllm", (name, client.server_info)
        await check_lists(client)
        text = await check_answer(client)
        await check_failures(client)
        await check_cancel(client)
    print(f"ok: MCP over {name}")
    return text


async def main():
    """All ways in."""
    base, program, data_dir = sys.argv[1:4]
    url = base.rstrip("/").removesuffix("/v1") + "/mcp"
    stdio = StdioServerParameters(command=program, args=["mcp", "--data-dir", data_dir])
    modern, handshake = "2026-07-28", "2025-11-25"
    texts = {
        await check("HTTP, no handshake", url, "auto", modern),
        await check("HTTP, handshake", url, "legacy", handshake),
        await check("stdio, no handshake", stdio, "auto", modern),
        await check("stdio, handshake", stdio, "legacy", handshake),
    }
    assert len(texts) == 1, texts


anyio.run(main)
