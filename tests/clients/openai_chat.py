"""The official OpenAI Python client against a running node: a chat answer whole and as a stream.

Usage: python tests/clients/openai_chat.py http://127.0.0.1:8800/v1 [MODEL]
Needs the package `openai`. Exit code 0 when every check passed, 1 otherwise.
Checked: model list and lookup, a streamed greedy answer with usage, the same answer whole, equal
token ids, a stop text that is never shown, and the client's own exception types for errors.
"""

import sys

import openai


def stream_answer(client, model, question):
    """Text, finish reason, usage and token ids of one streamed greedy answer."""
    text, finish, usage, token_ids, ids = "", None, None, None, set()
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        ids.add((chunk.id, chunk.created))
        if chunk.usage is not None:
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            if choice.finish_reason is not None:
                finish = choice.finish_reason
                token_ids = chunk.swarmllm["token_ids"]
    assert len(ids) == 1, f"id and created must not change: {ids}"
    return text, finish, usage, token_ids


def check_errors(client, model):
    """Errors arrive as the exceptions that programs catch."""
    hello = [{"role": "user", "content": "hello"}]
    try:
        client.chat.completions.create(model="no/such:model", messages=hello)
        raise AssertionError("an unknown model was accepted")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error
    try:
        client.chat.completions.create(model=model, messages=hello, n=0)
        raise AssertionError("n=0 was accepted")
    except openai.BadRequestError as error:
        assert error.param == "n", error
    try:
        long = [{"role": "user", "content": "hello " * 20_000}]
        client.chat.completions.create(model=model, messages=long)
        raise AssertionError("a prompt beyond the context was accepted")
    except openai.BadRequestError as error:
        assert error.code == "context_length_exceeded", error


def check_several(client, model):
    """Several answers to one prompt: the first is the one that a single request gets."""
    asked = {"model": model, "seed": 7, "temperature": 1, "max_tokens": 12,
             "messages": [{"role": "user", "content": "What is a node?"}]}
    one = client.chat.completions.create(**asked).choices[0].message.content
    several = client.chat.completions.create(**asked, n=3).choices
    assert [choice.index for choice in several] == [0, 1, 2], several
    assert several[0].message.content == one, (several, one)
    streamed = {0: "", 1: "", 2: ""}
    for chunk in client.chat.completions.create(**asked, n=3, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == {choice.index: choice.message.content for choice in several}, streamed


def main():
    base_url = sys.argv[1]
    model = sys.argv[2] if len(sys.argv) > 2 else "demo"
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0, timeout=120)

    listed = [entry.id for entry in client.models.list()]
    assert model in listed, f"{model} is not among {listed}"
    assert client.models.retrieve(model).id == model

    question = "What is SwarmLLM?"
    text, finish, usage, token_ids = stream_answer(client, model, question)
    print(f"{question}\n{text}")
    assert text.strip(), "an empty answer"
    assert finish == "stop", f"finish_reason {finish}"
    assert usage.completion_tokens == len(token_ids) > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens

    messages = [{"role": "user", "content": question}]
    whole = client.chat.completions.create(model=model, messages=messages, temperature=0)
    assert whole.choices[0].message.content == text, "stream and whole answer differ"
    assert whole.swarmllm["token_ids"] == token_ids

    word = max(text.split(), key=len)
    stopped = client.chat.completions.create(
        model=model, messages=messages, temperature=0, stop=[word]
    )
    assert stopped.choices[0].message.content == text[: text.index(word)]
    assert stopped.choices[0].finish_reason == "stop"

    def warm():
        answer = client.chat.completions.create(
            model=model, messages=messages, temperature=0.9, seed=7, max_tokens=16
        )
        return answer.swarmllm["token_ids"]

    assert warm() == warm(), "the same seed gave other tokens"
    check_several(client, model)
    check_errors(client, model)
    print(f"ok: {len(token_ids)} tokens, openai {openai.__version__}")


if __name__ == "__main__":
    main()
