"""What the machine could do at best, and how long a piece of model work takes at least there.

Called by compare.py. `measure` builds limits.c with the C compiler and runs it; without a compiler
it gives no limits, and the table shows none. Bounds of a step: every weight and every cached key
and value is read once, every weight takes part in one multiply-add per token. Attention's own
arithmetic, activations and sampling are left out, so the bound is a little too optimistic.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "limits.c"
FLOAT_FORMATS = ("F32", "F16", "BF16")
# Bytes of a cached number: both programs keep f16.
CACHE_BYTES = 2


def measure(threads: set[int], prefix: list[str]) -> dict[int, dict]:
    """Limits for each number of threads; empty when there is no C compiler or it fails."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "limits")
        build = [compiler, "-O3", "-march=native", "-pthread", str(SOURCE), "-o", program]
        if subprocess.run(build, stderr=subprocess.DEVNULL, check=False).returncode != 0:
            return {}
        found = {}
        for count in sorted(threads):
            run = [*prefix, program, str(count)]
            done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode == 0:
                found[count] = json.loads(done.stdout)
        return found


def best(first: dict[int, dict], second: dict[int, dict]) -> dict[int, dict]:
    """The better of two measurements, figure by figure."""
    return {
        count: {key: max(value, second.get(count, {}).get(key, value)) for key, value in one.items()}
        for count, one in first.items()
    }


def at_best(metric: str, spec, model: dict, weight_bytes: float, limits: dict) -> float | None:
    """Tokens per second that the limits allow; `model` is what `swarmllm show --json` says."""
    if metric not in ("prefill_tok_s", "decode_tok_s") or not limits:
        return None
    floats = model["quantisation"] in FLOAT_FORMATS
    giga_s = limits["fp32_gflop_s"] if floats else limits["int8_gop_s"]
    key_numbers = model["n_kv_heads"] * model["head_dim"]
    query_numbers = model["n_heads"] * model["head_dim"]
    attention = model["hidden"] * 2 * (query_numbers + key_numbers)
    layers = model["n_layers"] * (attention + 3 * model["hidden"] * model["feed_forward"])
    head = model["hidden"] * model["vocab"]
    cache_bytes = 2 * CACHE_BYTES * model["n_layers"] * key_numbers
    if metric == "prefill_tok_s":
        tokens, read = spec.prompt, weight_bytes
        operations = 2 * (layers * tokens + head)
    else:
        tokens = spec.batch
        read = weight_bytes + tokens * cache_bytes * (spec.depth + spec.generate / 2)
        operations = 2 * tokens * (layers + head)
    reading_s = read / (limits["read_gb_s"] * 1e9)
    computing_s = operations / (giga_s * 1e9) if giga_s > 0 else 0.0
    return tokens / max(reading_s, computing_s)
