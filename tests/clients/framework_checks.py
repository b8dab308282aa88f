"""Programs above the clients: LangChain, LiteLLM in both dialects, and the `llm` command.

Usage: python tests/clients/framework_checks.py PATH_TO_SWARMLLM
Needs the packages `langchain-openai`, `litellm` and `llm`. Starts its own node. Exit code 0 when
every check passed. LiteLLM is kept from asking for prices over the network.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_TELEMETRY"] = "False"

import litellm
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from harness import Node, expect, write_script
from report import checks

HELLO = "Hello from the swarm."


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city} has 17 degrees"


def langchain(node):
    """An answer whole and as a stream, and a round trip with a tool."""
    model = ChatOpenAI(model="dialogue", base_url=node.url + "/v1", api_key="x", max_retries=0)
    expect(model.invoke("Hello").content == HELLO, "another answer")
    expect("".join(chunk.content for chunk in model.stream("Hello")) == HELLO, "another stream")
    with_tool = model.bind_tools([weather])
    messages = [("user", "The weather of Oslo and Rome?")]
    asked = with_tool.invoke(messages)
    expect([call["args"]["city"] for call in asked.tool_calls] == ["Oslo", "Rome"], asked)
    results = [weather.invoke(call) for call in asked.tool_calls]
    expect(with_tool.invoke([*messages, asked, *results]).content == "It has 17 degrees.", results)


def lite_openai(node):
    """LiteLLM over the OpenAI dialect."""
    lite("openai/dialogue", node.url + "/v1")


def lite_anthropic(node):
    """LiteLLM over the Anthropic dialect."""
    lite("anthropic/dialogue", node.url)


def lite(model, base):
    """An answer whole and as a stream."""
    asked = {"model": model, "api_base": base, "api_key": "x", "num_retries": 0,
             "messages": [{"role": "user", "content": "Hello"}]}
    whole = litellm.completion(**asked)
    expect(whole.choices[0].message.content == HELLO and whole.usage.completion_tokens > 0, whole)
    pieces = litellm.completion(**asked, stream=True)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    expect(text == HELLO, text)


def llm_command(node):
    """The command answers, as a stream and whole."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "extra-openai-models.yaml").write_text(
            f"- model_id: swarm\n  model_name: dialogue\n  api_base: {node.url}/v1\n"
        )
        environment = os.environ | {"LLM_USER_PATH": folder}
        program = pathlib.Path(sys.executable).with_name("llm")
        for more in ([], ["--no-stream"]):
            command = [program, "-m", "swarm", "Hello", "--key", "d", "--no-log", *more]
            done = subprocess.run(command, env=environment, capture_output=True, text=True,
                                  timeout=60, check=False)
            expect(done.stdout.strip() == HELLO, done)


def main():
    """Runs all checks."""
    versions = " ".join(f"{name} {version(name)}" for name in ("langchain-openai", "litellm", "llm"))
    with tempfile.TemporaryDirectory() as folder, checks("frameworks", versions) as check:
        with Node(sys.argv[1], write_script(folder)) as node:
            for function in (langchain, lite_openai, lite_anthropic, llm_command):
                check(function, node)


if __name__ == "__main__":
    main()
