"""A streamed chat as an OpenAI client sees it, timed, and what many of them come to.

Called by serving.py. Times in milliseconds. A chunk with text is taken for a token (both servers
send each token by itself, but for parts of characters); totals are what a server counted.
Errors: OSError, or ValueError when a server says something else than expected.
"""

import http.client
import json
import math
import time
from dataclasses import dataclass

TIMEOUT_S = 600


@dataclass
class Answer:
    """One answer: when it was asked, when text came, and what the server counted."""

    asked: float
    chunks: list[float]
    tokens: int
    prompt_tokens: int

    @property
    def ttft_ms(self) -> float:
        return 1000 * (self.chunks[0] - self.asked)

    def gaps_ms(self) -> list[float]:
        return [1000 * (b - a) for a, b in zip(self.chunks, self.chunks[1:])]


def ask(address: str, model: str, prompt: str, tokens: int) -> Answer:
    """Asks greedily for so many tokens and reads the stream to its end."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        # llama-server: answers end by their length, and nothing is taken from earlier ones. Ours
        # ignores what it does not know.
        "ignore_eos": True,
        "cache_prompt": False,
    }
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        headers = {"content-type": "application/json"}
        asked = time.monotonic()
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"{response.status}: {response.read(400)!r}")
        return _read(response, asked)
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, asked: float) -> Answer:
    chunks: list[float] = []
    usage = None
    for line in response:
        now = time.monotonic()
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            raise ValueError(str(chunk["error"]))
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if delta.get("content") or delta.get("reasoning_content"):
                chunks.append(now)
    if usage is None or not chunks:
        raise ValueError("a stream without text or without usage")
    return Answer(asked, chunks, usage["completion_tokens"], usage["prompt_tokens"])


def figures(answers: list[Answer], seconds: float) -> dict[str, float]:
    """What a level's answers come to."""
    gaps = sorted(gap for answer in answers for gap in answer.gaps_ms())
    first = sorted(answer.ttft_ms for answer in answers)
    tokens = sum(answer.tokens for answer in answers)
    return {
        "tokens": tokens,
        "prompt_tokens": sum(answer.prompt_tokens for answer in answers),
        "tok_s": tokens / seconds,
        "ttft_p50_ms": _percentile(first, 0.5),
        "ttft_p99_ms": _percentile(first, 0.99),
        "itl_p50_ms": _percentile(gaps, 0.5),
        "itl_p99_ms": _percentile(gaps, 0.99),
    }


def _percentile(ascending: list[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    if not ascending:
        return math.nan
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
