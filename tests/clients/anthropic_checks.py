"""What the official Anthropic client sees of a node: events, blocks, counts, thinking, errors.

Usage: python tests/clients/anthropic_checks.py PATH_TO_SWARMLLM
Needs the package `anthropic`. Starts its own nodes. Exit code 0 when every check passed.
"""

import signal
import sys
import tempfile

import anthropic

from harness import Node, expect, two_halves, write_script
from report import checks

WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
        "required": ["city"],
    },
}
HELLO = [{"role": "user", "content": "What is SwarmLLM?"}]
CITIES = [{"role": "user", "content": "The weather of Oslo and Rome?"}]
THINK = {"type": "enabled", "budget_tokens": 1024}
# The client knows no `temperature` any more; the dialect does.
GREEDY = {"model": "demo", "messages": HELLO, "max_tokens": 40, "extra_body": {"temperature": 0}}


def ask(client, **more):
    """A short greedy answer of the embedded model."""
    return client.messages.create(**GREEDY | more)


def stream(client, **more):
    """The same as a stream: the message the client puts together, and the events' names."""
    with client.messages.stream(**GREEDY | more) as events:
        names = [event.type for event in events]
        return events.get_final_message(), names


def blocks(message):
    """Content without what is new in every answer."""
    hidden = {"id", "signature"}
    return [{k: v for k, v in block.model_dump(exclude_none=True).items() if k not in hidden}
            for block in message.content]


def whole_and_stream(client):
    """A streamed message is the whole one, also with calls and thinking."""
    cases = [
        {},
        {"model": "dialogue", "messages": CITIES, "tools": [WEATHER], "max_tokens": 200},
        {"model": "dialogue", "messages": [{"role": "user", "content": "What do you think?"}],
         "thinking": THINK, "max_tokens": 2048},
    ]
    for case in cases:
        whole = ask(client, **case)
        streamed, names = stream(client, **case)
        expect(blocks(whole) == blocks(streamed) != [], (blocks(whole), blocks(streamed)))
        expect(whole.stop_reason == streamed.stop_reason, (whole, streamed))
        expect(whole.usage.output_tokens == streamed.usage.output_tokens > 0, streamed.usage)
        expect(names[0] == "message_start" and names[-1] == "message_stop", names)


def counts(client):
    """count_tokens is the sum of the three disjoint input counts."""
    for model, more in (("demo", {}), ("dialogue", {"tools": [WEATHER], "system": "Be kind."})):
        counted = client.messages.count_tokens(model=model, messages=HELLO, **more).input_tokens
        for _ in range(2):
            usage = ask(client, model=model, **more).usage
            parts = (usage.input_tokens, usage.cache_read_input_tokens,
                     usage.cache_creation_input_tokens)
            expect(sum(part or 0 for part in parts) == counted > 0, (counted, usage))


def parallel_calls(client):
    """Two tool_use blocks, or one; results with blocks and errors are read."""
    asked = {"model": "dialogue", "tools": [WEATHER], "max_tokens": 200}
    answer = ask(client, **asked, messages=CITIES)
    calls = [block for block in answer.content if block.type == "tool_use"]
    expect([call.input["city"] for call in calls] == ["Oslo", "Rome"], answer)
    expect(answer.stop_reason == "tool_use", answer)
    single = {"type": "auto", "disable_parallel_tool_use": True}
    alone = ask(client, **asked, messages=CITIES, tool_choice=single).content
    expect(sum(block.type == "tool_use" for block in alone) == 1, alone)
    results = [
        {"type": "tool_result", "tool_use_id": calls[0].id,
         "content": [{"type": "text", "text": "17 degrees"}]},
        {"type": "tool_result", "tool_use_id": calls[1].id, "is_error": True,
         "content": "the sensor is broken"},
    ]
    history = [*CITIES, {"role": "assistant", "content": answer.content},
               {"role": "user", "content": results}]
    said = ask(client, **asked, messages=history).content[0].text
    expect(said == "The sensor is broken.", said)


def forced_calls(client):
    """`any` and a named tool are called with input that fits the schema."""
    for choice in ({"type": "any"}, {"type": "tool", "name": "weather"}):
        answer = ask(client, tools=[WEATHER], tool_choice=choice, max_tokens=100)
        call = answer.content[-1]
        expect(call.type == "tool_use" and call.input["city"] in ("Oslo", "Rome"), answer)


def stops(client):
    """What ended an answer is told: a stop sequence, the limit, the model."""
    asked = {"model": "dialogue", "messages": [{"role": "user", "content": "Count to forty"}]}
    for answer in (ask(client, **asked, stop_sequences=["12"], max_tokens=500),
                   stream(client, **asked, stop_sequences=["12"], max_tokens=500)[0]):
        expect((answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "12"), answer)
        expect(answer.content[0].text.rstrip().endswith("11"), answer)
    expect(ask(client, **asked, max_tokens=5).stop_reason == "max_tokens", "not max_tokens")
    warmed = ask(client, max_tokens=0)
    expect((warmed.content, warmed.stop_reason) == ([], "max_tokens"), warmed)
    expect(warmed.usage.output_tokens == 0, warmed.usage)
    expect(ask(client, **asked, max_tokens=500).stop_reason == "end_turn", "not end_turn")


def thinking(client):
    """Thinking comes with a signature; what comes back is trusted only with it."""
    asked = {"model": "dialogue", "thinking": THINK, "max_tokens": 2048}
    question = {"role": "user", "content": "What do you think?"}
    content = ask(client, **asked, messages=[question]).content
    expect([block.type for block in content] == ["thinking", "text"], content)
    expect(content[0].thinking == "the secret thought" and content[0].signature, content)
    more = {"role": "user", "content": "needle-42"}

    def said(blocks):
        history = [question, {"role": "assistant", "content": blocks}, more]
        return ask(client, **asked, messages=history).content[-1].text

    expect(said(content).endswith("my thought came back."), said(content))
    forged = content[0].model_copy(update={"signature": "Zm9yZ2Vk"})
    expect(said([forged, content[1]]) == "It printed needle-42.", "a forged thought was believed")
    unseen = {"type": "adaptive", "display": "omitted"}
    sealed = ask(client, **asked | {"thinking": unseen}, messages=[question]).content
    expect(sealed[0].thinking == "" and sealed[0].signature, sealed)
    expect(said(sealed).endswith("my thought came back."), "a thought that was not shown is lost")


def models(client):
    """Models are listed page by page, each with what the client wants to know."""
    listed = list(client.models.list(limit=1))
    expect([model.id for model in listed] == ["demo", "dialogue"], listed)
    model = client.models.retrieve("demo")
    expect((model.lifecycle, model.max_input_tokens) == ("active", 512), model)
    expect(model.created_at.year >= 2026 and model.display_name == "demo", model)
    expect(client.models.with_raw_response.list().headers["request-id"], "no request-id")
    try:
        client.models.retrieve("no/such:model")
        raise AssertionError("there is such a model")
    except anthropic.NotFoundError as error:
        expect(error.request_id and error.body["request_id"] == error.request_id, error.body)


def errors(client):
    """Mistakes are the client's own exceptions, in the words that agents look for."""
    cases = [
        ({"model": "no/such:model"}, anthropic.NotFoundError, "no/such:model"),
        ({"max_tokens": -1}, anthropic.BadRequestError, "max_tokens"),
        ({"messages": []}, anthropic.BadRequestError, "messages"),
        ({"messages": [{"role": "user", "content": "hello " * 9000}]}, anthropic.BadRequestError,
         "prompt is too long: "),
    ]
    for more, kind, words in cases:
        try:
            ask(client, **more)
            raise AssertionError(f"{more} was accepted"[:200])
        except kind as error:
            expect(words in error.body["error"]["message"], error)
            expect(error.body["type"] == "error" and error.request_id, error.body)


def killed_stage(program):
    """An answer whose stage is killed raises; it does not end as if it were whole."""
    first, second = two_halves(program)
    with first, second:
        client = anthropic.Anthropic(base_url=first.url, api_key="x", max_retries=0, timeout=60)
        second.signal(signal.SIGSTOP)
        asked = {"model": "demo", "messages": HELLO, "max_tokens": 200, "stream": True}
        events = client.messages.create(**asked)
        next(iter(events))
        second.signal(signal.SIGKILL)
        try:
            rest = [event.type for event in events]
            raise AssertionError(f"the answer ended with {rest}")
        except anthropic.APIError as error:
            expect(str(error), "an error without a text")


def main():
    """Runs all checks."""
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        with checks("anthropic", anthropic.__version__) as check:
            with Node(program, "demo", write_script(folder)) as node:
                client = anthropic.Anthropic(
                    base_url=node.url, api_key="unused", max_retries=0, timeout=60
                )
                for function in (whole_and_stream, counts, parallel_calls, forced_calls, stops,
                                 thinking, models, errors):
                    check(function, client)
            check(killed_stage, program)


if __name__ == "__main__":
    main()
