"""Compares SwarmLLM's service with llama-server: many streams at once, by HTTP, on this machine.

Run by hand, from anywhere, after `cargo build --release` and with a model from
`cargo xtask perf-model NAME FOLDER` (random weights hardly ever end an answer by themselves):

    python3 scripts/performance/serving.py --swarmllm target/release/swarmllm \
        --llama-server LLAMA_CPP/build/bin/llama-server --model FOLDER/qwen3-0.6b-q8_0.gguf

Both get the same chats, greedy, and as many slots as streams; prompts are random words, no two
alike. The servers take turns, level by level and round by round, one running at a time, so that a
disturbance meets both. Times are the client's. Tokens are those that a server says it generated;
a level whose answers are not of equal length on both sides is marked. Figures are medians over
rounds, ratios are medians of the rounds' own ratios. Python 3.11, Linux, no packages.
"""

import argparse
import json
import random
import sys
import threading
import time
from pathlib import Path
from statistics import median

import serving_client
import serving_programs

FIGURES = {
    "tok_s": "tokens/s",
    "ttft_p50_ms": "TTFT p50",
    "ttft_p99_ms": "TTFT p99",
    "itl_p50_ms": "ITL p50",
    "itl_p99_ms": "ITL p99",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--swarmllm", required=True, help="our program")
    parser.add_argument("--llama-server", required=True, help="theirs")
    parser.add_argument("--model", required=True, type=Path, help="GGUF with a chat template")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--concurrent", type=_levels, default=[1, 2, 4, 8, 16, 32], metavar="N,N")
    parser.add_argument("--words", type=int, default=40, help="words of a prompt")
    parser.add_argument("--gen", type=int, default=48, help="tokens of an answer")
    parser.add_argument("--waves", type=int, default=2, help="requests of a stream, in a row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--llama-flags", default="", help="more flags for llama-server")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    return parser.parse_args()


def _levels(text: str) -> list[int]:
    return [int(level) for level in text.split(",")]


class Prompts:
    """Random words, the same for every engine of a round."""

    def __init__(self, seed: int, words: int) -> None:
        self.random = random.Random(seed)
        self.words = words

    def next(self, count: int) -> list[str]:
        return [" ".join(self._word() for _ in range(self.words)) for _ in range(count)]

    def _word(self) -> str:
        length = self.random.randint(2, 7)
        return "".join(self.random.choices("abcdefghijklmnopqrstuvwxyz", k=length))


def measure(server, prompts: list[str], concurrent: int, gen: int) -> dict:
    """One level: streams that each ask one request after another."""
    waiting = list(reversed(prompts))
    answers: list[serving_client.Answer] = []
    failures: list[str] = []

    def stream() -> None:
        while not failures:
            try:
                prompt = waiting.pop()
            except IndexError:
                return
            try:
                answers.append(serving_client.ask(server.address, server.model, prompt, gen))
            except (OSError, ValueError, LookupError) as error:
                failures.append(f"{server.name}: {error}")

    streams = [threading.Thread(target=stream) for _ in range(concurrent)]
    began = time.monotonic()
    for one in streams:
        one.start()
    for one in streams:
        one.join()
    seconds = time.monotonic() - began
    if failures:
        raise serving_programs.Failed(failures[0])
    return {"seconds": seconds, **serving_client.figures(answers, seconds)}


def run_rounds(options: argparse.Namespace) -> dict[tuple[str, int], list[dict]]:
    """Every level by every engine in every round."""
    prompts = Prompts(options.seed, options.words)
    measured: dict[tuple[str, int], list[dict]] = {}
    for number in range(1, options.rounds + 1):
        for concurrent in options.concurrent:
            asked = prompts.next(concurrent * options.waves)
            warm = prompts.next(1)
            for engine in ("ours", "llama"):
                with serving_programs.start(engine, options, concurrent) as server:
                    # The first answer warms pages and sockets and is not counted.
                    measure(server, warm[:], 1, 4)
                    found = measure(server, asked, concurrent, options.gen)
                measured.setdefault((engine, concurrent), []).append(found)
                said = " ".join(f"{name} {found[key]:.4g}" for key, name in FIGURES.items())
                done = f"{number}/{options.rounds} {engine:5} {concurrent:3}"
                print(f"{done} {said}", file=sys.stderr)
    return measured


def rows(measured: dict[tuple[str, int], list[dict]], levels: list[int]) -> list[dict]:
    """A row a level."""
    out = []
    for concurrent in levels:
        ours, llama = measured["ours", concurrent], measured["llama", concurrent]
        pairs = list(zip(ours, llama))
        row = {"concurrent": concurrent}
        for engine, rounds in (("ours", ours), ("llama", llama)):
            row[engine] = {key: median(one[key] for one in rounds) for key in FIGURES}
            row[engine]["prompt_tokens"] = rounds[0]["prompt_tokens"]
        row["ratio"] = median(a["tok_s"] / b["tok_s"] for a, b in pairs)
        row["least_ratio"] = min(a["tok_s"] / b["tok_s"] for a, b in pairs)
        row["equal_work"] = all(
            a["tokens"] == b["tokens"] and a["prompt_tokens"] == b["prompt_tokens"]
            for a, b in pairs
        )
        out.append(row)
    return out


def markdown(table: list[dict]) -> str:
    names = list(FIGURES.values())
    head = ["streams", *(f"ours {name}" for name in names), *(f"llama {name}" for name in names)]
    head += ["ratio (least)", "equal work"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in table:
        cells = [f"{row[engine][key]:.1f}" for engine in ("ours", "llama") for key in FIGURES]
        cells += [f"{row['ratio']:.2f} ({row['least_ratio']:.2f})"]
        cells += ["yes" if row["equal_work"] else "no"]
        lines.append("| " + " | ".join([str(row["concurrent"]), *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    try:
        measured = run_rounds(options)
    except serving_programs.Failed as error:
        sys.exit(str(error))
    table = rows(measured, options.concurrent)
    if options.json:
        print(json.dumps({"model": options.model.stem, "threads": options.threads, "rows": table}))
    else:
        print(markdown(table))


if __name__ == "__main__":
    main()
