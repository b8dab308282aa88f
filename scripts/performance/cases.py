"""What is compared: the rows of the table, by case.

Called by compare.py. Rows share pieces of work: each differing `Spec` runs once a round, however
many rows look at it. A row with `against` is a share: its metric over the same of the other work.
"""

from dataclasses import dataclass

from engines import Spec

SMALL = "tinyllama-1.1b-q4_k_m"
PREFILL, DECODE, MEMORY = "prefill_tok_s", "decode_tok_s", "peak_mib"
UNITS = {PREFILL: "tokens/s", DECODE: "tokens/s", MEMORY: "MiB"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    title: str
    metric: str
    spec: Spec
    against: Spec | None = None

    @property
    def unit(self) -> str:
        return "%" if self.against else UNITS[self.metric]


def _speeds(case: str, spec: Spec) -> list[Row]:
    return [
        Row(case, f"{spec.model}, prefill {spec.prompt}", PREFILL, spec),
        Row(case, f"{spec.model}, decode {spec.generate}", DECODE, spec),
    ]


def _depth(threads: int) -> list[Row]:
    shallow = Spec(SMALL, threads, generate=32)
    deep = Spec(SMALL, threads, generate=32, depth=2048)
    return [
        Row("depth", f"{SMALL}, decode at depth 0", DECODE, shallow),
        Row("depth", f"{SMALL}, decode at depth 2048", DECODE, deep),
        Row("depth", "share of depth 0 that remains", DECODE, deep, shallow),
    ]


def _batch(threads: int) -> list[Row]:
    return [
        Row("batch", f"{SMALL}, decode of {count} sequences", DECODE, spec)
        for count in (8, 16)
        for spec in [Spec(SMALL, threads, generate=32, depth=64, batch=count)]
    ]


def _memory(threads: int) -> list[Row]:
    rows = []
    for model in (SMALL, "tinyllama-1.1b-q8_0", "llama3-8b-q4_k_m"):
        one = Spec(model, threads, prompt=1, one_token=True)
        rows.append(Row("memory", f"{model}, peak memory, 1 token", MEMORY, one))
    full = Spec(SMALL, threads, prompt=512)
    rows.append(Row("memory", f"{SMALL}, peak memory, prompt 512", MEMORY, full))
    return rows


def _threads(threads: int) -> list[Row]:
    one, all_of_them = Spec(SMALL, 1, prompt=512), Spec(SMALL, threads, prompt=512)
    rows = []
    for metric, name in ((PREFILL, "prefill 512"), (DECODE, "decode 64")):
        rows.append(Row("threads", f"{SMALL}, {name}, 1 thread", metric, one))
        rows.append(Row("threads", f"{SMALL}, {name}, {threads} threads", metric, all_of_them))
        rows.append(Row("threads", f"{threads} threads over 1", metric, all_of_them, one))
    return rows


def _loaded(threads: int) -> list[Row]:
    quiet = Spec(SMALL, threads)
    loaded = Spec(SMALL, threads, busy=4)
    return [
        Row("loaded", f"{SMALL}, decode 64", DECODE, quiet),
        Row("loaded", f"{SMALL}, decode 64 beside 4 busy processes", DECODE, loaded),
        Row("loaded", "share of the quiet speed that remains", DECODE, loaded, quiet),
    ]


def table(threads: int) -> dict[str, list[Row]]:
    """Every case by name, in the order of the table."""
    plain = {
        "q4_k_m": Spec(SMALL, threads, prompt=512),
        "q8_0": Spec("tinyllama-1.1b-q8_0", threads, prompt=512),
        "f16": Spec("tinyllama-1.1b-f16", threads, prompt=512),
        "8b": Spec("llama3-8b-q4_k_m", threads, prompt=128, generate=16),
    }
    return {
        **{case: _speeds(case, spec) for case, spec in plain.items()},
        "depth": _depth(threads),
        "batch": _batch(threads),
        "memory": _memory(threads),
        "threads": _threads(threads),
        "loaded": _loaded(threads),
    }
