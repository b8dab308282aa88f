"""What the official OpenAI client sees of a node: the fields and errors that programs rely on.

Usage: python tests/clients/openai_checks.py PATH_TO_SWARMLLM
Needs the package `openai`. Starts its own nodes: one with the embedded model and the scripted one,
one that is soon full, and two halves of which one is killed in the middle of an answer.
Exit code 0 when every check passed; each failure is printed.
"""

import json
import math
import signal
import sys
import tempfile
from typing import Literal

import openai
from pydantic import BaseModel

from harness import Node, expect, two_halves, write_script
from report import checks

HELLO = [{"role": "user", "content": "What is SwarmLLM?"}]
COLOUR = {
    "type": "function",
    "function": {
        "name": "paint",
        "description": "Paints a wall",
        "parameters": {
            "type": "object",
            "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
            "required": ["colour"],
        },
    },
}
SHAPE = {
    "type": "function",
    "function": {"name": "shape", "parameters": {"type": "object", "properties": {}}},
}


class Verdict(BaseModel):
    """A small schema whose values are bounded."""

    answer: Literal["yes", "no"]
    is_sure: bool


def chat(client, **more):
    """A short greedy answer of the embedded model."""
    asked = {"model": "demo", "messages": HELLO, "temperature": 0, "max_tokens": 24}
    return client.chat.completions.create(**asked | more)


def log_probabilities(client):
    """In a stream, one entry per token of the text, best first, with bytes."""
    entries, text, usage = [], "", None
    for chunk in chat(client, logprobs=True, top_logprobs=3, stream=True,
                      stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            entries += choice.logprobs.content if choice.logprobs else []
    expect(0 <= usage.completion_tokens - len(entries) <= 1, f"{len(entries)} entries, {usage}")
    for entry in entries:
        expect(len(entry.top_logprobs) == 3 and entry.logprob <= 0, entry)
        expect(entry.top_logprobs[0].token == entry.token, f"greedy, yet not the likeliest: {entry}")
        expect(sum(math.exp(top.logprob) for top in entry.top_logprobs) <= 1.001, entry)
    spelled = b"".join(bytes(entry.bytes or b"") for entry in entries)
    expect(spelled.startswith(text.encode()), f"{spelled} is not {text!r}")
    whole = chat(client, logprobs=True).choices[0].logprobs.content
    expect([e.token for e in whole] == [e.token for e in entries], "whole and stream differ")


def several_choices(client):
    """n=2 gives two choices; the same seed gives the same tokens twice."""
    warm = {"temperature": 1, "seed": 11, "n": 2}
    one, two = (chat(client, **warm).choices for _ in range(2))
    expect([choice.index for choice in one] == [0, 1], one)
    texts = [[choice.message.content for choice in choices] for choices in (one, two)]
    expect(texts[0] == texts[1], texts)


def stop_texts(client):
    """A stop text across word borders ends the answer and is not shown."""
    text = chat(client).choices[0].message.content
    at = text.index(" ", 4)
    stop = text[at - 2 : at + 3]
    for streamed in (False, True):
        answer = chat(client, stop=[stop, "never said"], stream=streamed)
        if streamed:
            choices = [choice for chunk in answer for choice in chunk.choices]
            shown = "".join(choice.delta.content or "" for choice in choices)
            reason = choices[-1].finish_reason
        else:
            shown, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
        expect((shown, reason) == (text[: text.index(stop)], "stop"), (shown, reason, stop))


def banned_token(client):
    """A token with bias -100 is not said."""
    first = chat(client).swarmllm["token_ids"][0]
    again = chat(client, logit_bias={str(first): -100}).swarmllm["token_ids"]
    expect(first not in again, f"{first} is in {again}")


def json_schema(client):
    """A strict schema gives JSON that the client can parse."""
    parsed = client.chat.completions.parse(
        model="demo", messages=HELLO, temperature=0, max_tokens=400, response_format=Verdict
    )
    expect(parsed.choices[0].message.parsed.answer in ("yes", "no"), parsed)
    free = chat(client, response_format={"type": "json_object"}, max_tokens=200)
    if free.choices[0].finish_reason == "stop":
        expect(isinstance(json.loads(free.choices[0].message.content), dict), free)


def forced_calls(client):
    """Required and named tools are called with arguments that fit."""
    named = {"type": "function", "function": {"name": "paint"}}
    for choice in ("required", named):
        asked = {"tools": [COLOUR] if choice == "required" else [SHAPE, COLOUR]}
        answer = chat(client, **asked, tool_choice=choice, max_tokens=80).choices[0]
        call = answer.message.tool_calls[0]
        expect(call.function.name == "paint" and call.id, call)
        expect(json.loads(call.function.arguments)["colour"] in ("red", "green"), call)
        name, arguments = "", ""
        for chunk in chat(client, **asked, tool_choice=choice, max_tokens=80, stream=True):
            for delta in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
                name += delta.function.name or ""
                arguments += delta.function.arguments or ""
        expect((name, arguments) == ("paint", call.function.arguments), (name, arguments))


def parallel_calls(client):
    """Two calls in one answer, one when only one is allowed, and their results."""
    weather = {"type": "function", "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }}
    asked = {"model": "dialogue", "tools": [weather], "max_tokens": 200}
    messages = [{"role": "user", "content": "The weather of Oslo and Rome?"}]
    answer = chat(client, **asked, messages=messages).choices[0]
    calls = answer.message.tool_calls
    cities = [json.loads(call.function.arguments)["city"] for call in calls]
    expect((cities, answer.finish_reason) == (["Oslo", "Rome"], "tool_calls"), answer)
    single = chat(client, **asked, messages=messages, parallel_tool_calls=False).choices[0]
    expect(len(single.message.tool_calls) == 1, single)
    messages.append(answer.message.model_dump(exclude_none=True))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": text}]}
        for call, text in zip(calls, ["17 degrees", "20 degrees"])
    ]
    said = chat(client, **asked, messages=messages).choices[0].message.content
    expect(said == "Hello from the swarm." or "17" in said, said)


def reasoning(client):
    """Reasoning comes apart from the answer, whole and as a stream, and is counted."""
    asked = {"model": "dialogue", "messages": [{"role": "user", "content": "What do you think?"}]}
    answer = chat(client, **asked, max_tokens=100)
    message = answer.choices[0].message
    expect(message.content == "I think of the sea.", message)
    expect(message.reasoning_content == "the secret thought", message)
    expect(answer.usage.completion_tokens_details.reasoning_tokens > 0, answer.usage)
    deltas = [choice.delta for chunk in chat(client, **asked, max_tokens=100, stream=True)
              for choice in chunk.choices]
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    expect(thought == "the secret thought", thought)
    with client.chat.completions.stream(**asked, max_tokens=100, logprobs=True) as stream:
        stream.until_done()
        choice = stream.get_final_completion().choices[0]
    spelled = "".join(entry.token for entry in choice.logprobs.content)
    expect(spelled == choice.message.content == message.content, choice)


def embeddings(client):
    """What the client decodes from base64 is what it gets as floats."""
    asked = {"model": "demo", "input": ["one text", "another text"]}
    default = client.embeddings.create(**asked)
    floats = client.embeddings.create(**asked, encoding_format="float")
    for one, other in zip(default.data, floats.data, strict=True):
        pairs = zip(one.embedding, other.embedding, strict=True)
        expect(all(abs(a - b) < 1e-6 for a, b in pairs), "base64 and floats differ")
    expect(default.usage.prompt_tokens == floats.usage.prompt_tokens > 0, default.usage)


def models(client):
    """Names with slashes and colons are looked up, not routed elsewhere."""
    listed = {model.id for model in client.models.list()}
    expect({"demo", "dialogue"} <= listed, listed)
    expect(client.models.retrieve("dialogue").id == "dialogue", "another model")
    try:
        client.models.retrieve("owner/repo:Q4_K_M")
        raise AssertionError("an unknown model was found")
    except openai.NotFoundError as error:
        expect(error.code == "model_not_found" and "owner/repo:Q4_K_M" in str(error), error)


def completions(client):
    """The older route: several prompts, echo, log-probabilities, a stream."""
    asked = {"model": "demo", "max_tokens": 4, "temperature": 0}
    answer = client.completions.create(**asked, prompt=["A swarm is", "A node"], echo=True)
    expect([choice.index for choice in answer.choices] == [0, 1], answer)
    text = answer.choices[0].text.removeprefix("A swarm is")
    expect(text and text != answer.choices[0].text, answer)
    likely = client.completions.create(**asked, prompt="A swarm is", logprobs=2).choices[0]
    expect("".join(likely.logprobs.tokens) == likely.text == text, likely)
    expect(all(p <= 0 for p in likely.logprobs.token_logprobs), likely.logprobs)
    # As evaluation harnesses ask: how likely is a text that is there already?
    ids = [[11, 12, 13, 14, 15]]
    scored = client.completions.create(
        **asked | {"max_tokens": 0}, prompt=ids, echo=True, logprobs=1).choices[0].logprobs
    expect(len(scored.tokens) == len(scored.top_logprobs) == 5, scored)
    expect(scored.token_logprobs[0] is None, scored)
    expect(all(p <= 0 for p in scored.token_logprobs[1:]), scored)
    best = client.completions.create(**asked | {"temperature": 1}, prompt="A", best_of=4)
    expect(len(best.choices) == 1 and best.usage.completion_tokens > 4, best)
    pieces = client.completions.create(**asked, prompt="A swarm is", stream=True)
    streamed = "".join(choice.text for piece in pieces for choice in piece.choices)
    expect(streamed == text, (streamed, text))


def responses(client):
    """The newer route: a stream, a stored answer that is gone on from, and its end."""
    asked = {"model": "dialogue", "input": "What do you think?"}
    with client.responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    expect(kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds)
    expect(final.output_text == "I think of the sea.", final)
    stored = client.responses.create(**asked, store=True)
    expect(client.responses.retrieve(stored.id).output_text == final.output_text, stored)
    items = client.responses.input_items.list(stored.id).data
    expect(items[0].content[0].text == asked["input"], items)
    more = client.responses.create(
        model="dialogue", input="Count to forty", previous_response_id=stored.id
    )
    expect(more.output_text.endswith(" 40"), more)
    expect(more.usage.input_tokens > stored.usage.input_tokens, more.usage)
    referred = [{"type": "item_reference", "id": item.id} for item in stored.output]
    again = client.responses.create(
        model="dialogue",
        input=[{"role": "user", "content": asked["input"]}, *referred,
               {"role": "user", "content": "Count to forty"}],
    )
    expect(again.usage.input_tokens == more.usage.input_tokens, (again.usage, more.usage))
    client.responses.delete(stored.id)
    try:
        client.responses.retrieve(stored.id)
        raise AssertionError("a deleted response is still there")
    except openai.NotFoundError:
        pass


def full_node(program):
    """A node without room says so with 429 and when to come back."""
    with tempfile.TemporaryDirectory() as folder:
        slow = write_script(folder, "slow", decode_tokens_per_s=5)
        config = "[scheduler]\nrunning = 1\nwaiting = 1\n"
        with Node(program, slow, config=config) as node:
            client = openai.OpenAI(base_url=node.url + "/v1", api_key="x", max_retries=0)
            asked = {"model": "slow", "stream": True,
                     "messages": [{"role": "user", "content": "Count to forty"}]}
            running = client.chat.completions.create(**asked)
            next(iter(running))
            waiting = client.chat.completions.create(**asked)
            try:
                for _ in range(3):
                    client.chat.completions.create(**asked | {"stream": False}, timeout=20)
                raise AssertionError("more waited than may")
            except openai.RateLimitError as error:
                expect(int(error.response.headers["retry-after"]) > 0, error.response.headers)
            finally:
                running.close()
                waiting.close()


def killed_stage(program):
    """An answer whose stage is killed raises; it does not end as if it were whole."""
    first, second = two_halves(program)
    with first, second:
        client = openai.OpenAI(base_url=first.url + "/v1", api_key="x", max_retries=0, timeout=60)
        second.signal(signal.SIGSTOP)
        stream = chat(client, stream=True, max_tokens=200)
        next(iter(stream))
        second.signal(signal.SIGKILL)
        try:
            text = "".join(c.delta.content or "" for chunk in stream for c in chunk.choices)
            raise AssertionError(f"the answer ended after {text!r}")
        except openai.APIError as error:
            expect(str(error), "an error without a text")


def main():
    """Runs all checks."""
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder, checks("openai", openai.__version__) as check:
        with Node(program, "demo", write_script(folder)) as node:
            client = openai.OpenAI(
                base_url=node.url + "/v1", api_key="unused", max_retries=0, timeout=60
            )
            for function in (log_probabilities, several_choices, stop_texts, banned_token,
                             json_schema, forced_calls, parallel_calls, reasoning, embeddings,
                             models, completions, responses):
                check(function, client)
        check(full_node, program)
        check(killed_stage, program)


if __name__ == "__main__":
    main()
