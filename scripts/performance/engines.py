"""The programs that are compared: how each is asked to do a piece of work, and how it answers.

Called by compare.py. Three engines: `swarmllm bench`, llama.cpp as it is, and llama.cpp tuned (its
weights in anonymous memory, in huge pages). Each run is a process of its own that warms up and
then measures once. Metrics: prefill_tok_s, decode_tok_s (over all sequences), peak_mib.
Errors: `measure.Failed`, also when a program prints something else than expected.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import measure

ENGINES = ("ours", "llama", "tuned")
TITLES = {"ours": "SwarmLLM", "llama": "llama.cpp", "tuned": "llama.cpp tuned"}
TUNED_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
TUNED_FLAGS = ["-lm", "none"]


@dataclass(frozen=True)
class Spec:
    """A piece of work; `prompt` 0 measures decoding alone, `one_token` only loads and answers."""

    model: str
    threads: int
    prompt: int = 0
    generate: int = 64
    depth: int = 0
    batch: int = 1
    busy: int = 0
    one_token: bool = False


@dataclass
class Programs:
    """Where everything is."""

    swarmllm: str
    llama: Path
    models: Path
    prefix: list[str]

    def model(self, name: str) -> str:
        return str(self.models / f"{name}.gguf")

    def show(self, name: str) -> dict:
        """What `swarmllm show` says about a model."""
        done = measure.run([self.swarmllm, "show", self.model(name), "--json"], {})
        return json.loads(done.output)

    def run(self, engine: str, spec: Spec) -> dict[str, float]:
        """Does the work once; the metrics, and `elsewhere_percent`."""
        environment = TUNED_ENVIRONMENT if engine == "tuned" else {}
        command = self._ours(spec) if engine == "ours" else self._llama(spec, engine == "tuned")
        with measure.busy(spec.busy):
            done = measure.run([*self.prefix, *command], environment)
        try:
            found = _read_ours(done) if engine == "ours" else _read_llama(done, spec)
        except (ValueError, LookupError) as error:
            raise measure.Failed(f"{command[0]} printed {done.output[-200:]!r}") from error
        return {**found, "elsewhere_percent": done.elsewhere_percent}

    def _ours(self, spec: Spec) -> list[str]:
        return _flags(
            [self.swarmllm, "bench", self.model(spec.model), "--json"],
            {
                "--prompt": max(spec.prompt, 1),
                "--gen": 1 if spec.one_token else spec.generate,
                "--depth": spec.depth,
                "--batch": spec.batch,
                "--threads": spec.threads,
                "--repeat": 1,
            },
        )

    def _llama(self, spec: Spec, is_tuned: bool) -> list[str]:
        model = ["-m", self.model(spec.model), "-t", str(spec.threads)]
        model += TUNED_FLAGS if is_tuned else []
        if spec.one_token:
            program = [str(self.llama / "llama-completion"), *model, "-no-cnv", "-p", "a"]
            return _flags(program, {"-n": 1, "-c": 512})
        if spec.batch > 1:
            program = [str(self.llama / "llama-batched-bench"), *model, "--output-format", "jsonl"]
            context = spec.batch * (spec.depth + spec.generate)
            # It logs through a thread that it does not wait for at its end, so the last line may
            # be lost: a line for one sequence goes after the wanted one.
            program += ["-npl", f"{spec.batch},1"]
            return _flags(program, {"-npp": spec.depth, "-ntg": spec.generate, "-c": context})
        program = [str(self.llama / "llama-bench"), *model, "-o", "jsonl"]
        lengths = {"-p": spec.prompt, "-n": spec.generate, "-d": spec.depth}
        return _flags(program, {**lengths, "-r": 1})


def _flags(program: list[str], values: dict[str, int]) -> list[str]:
    return program + [text for flag, value in values.items() for text in (flag, str(value))]


def _read_ours(done: measure.Outcome) -> dict[str, float]:
    report = json.loads(done.output)
    return {
        "prefill_tok_s": report["prefill_tok_s"],
        "decode_tok_s": report["decode_tok_s"],
        "peak_mib": report["peak_rss_mib"],
        "weight_bytes": report["weight_bytes_per_token"],
    }


def _read_llama(done: measure.Outcome, spec: Spec) -> dict[str, float]:
    found = {"peak_mib": done.peak_mib}
    if spec.one_token:
        return found
    lines = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    for line in lines:
        if line.get("pl") == spec.batch:
            found["decode_tok_s"] = line["speed_tg"]
        elif "avg_ts" in line:
            found["prefill_tok_s" if line["n_prompt"] else "decode_tok_s"] = line["avg_ts"]
    if "decode_tok_s" not in found:
        raise LookupError("no speed")
    return found
