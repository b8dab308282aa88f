"""Makes `models/tests/reference_logits.json`: logits of small random models by llama.cpp.

Run by hand, from anywhere, after a change of the generators in `models/tests/common`; takes a
minute besides the build of the tests:

    python -m venv /tmp/reference && /tmp/reference/bin/pip install llama-cpp-python==0.3.36
    /tmp/reference/bin/python scripts/reference_logits/make.py

The test `reference_logits` writes the models (it is run with `SWARMLLM_WRITE_MODELS`), and compares
our logits with this script's file from then on. The models' weights are of F16; llama.cpp gets the
same values in F32, because it would round activations to F16 too. It reads the prompt as one batch
with an F32 cache, without flash attention, on one thread.

llama.cpp ignores the windows of `llama` and `phi3` files. For those it reads one token at a time
and forgets what has left the window before each, which is the same function.

The file: `engine` (who computed), `tokens` (the prompt), `rows` (which positions have logits), and
per model its `blake3` (of the F16 file) and `logits`, one list per row, rounded to 7 digits.
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp as lib

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = ROOT / "models" / "tests" / "reference_logits.json"
WRITER = ["cargo", "test", "-p", "swarmllm-models", "--test", "reference_logits",
          "models_are_written"]
GGML_TYPE_F32 = 0
GGML_LOG_LEVEL_ERROR = 4


def write_models(folder: Path) -> dict:
    """Has the test write its models into the folder; gives its index."""
    if not SHIPPED.exists():
        SHIPPED.write_text("{}\n")  # The test includes it when it is built.
    environment = {**os.environ, "SWARMLLM_WRITE_MODELS": str(folder)}
    subprocess.run(WRITER, cwd=ROOT, env=environment, check=True)
    return json.loads((folder / "index.json").read_text())


def read(context, tokens: list[int], first: int, rows: list[int]) -> dict[int, list[float]]:
    """Feeds tokens from position `first` on as one batch; gives the logits of the wanted rows."""
    batch = lib.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i] = token
        batch.pos[i] = first + i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = first + i in rows
    status = lib.llama_decode(context, batch)
    if status != 0:
        sys.exit(f"llama_decode failed with {status}")
    vocab = lib.llama_model_get_vocab(lib.llama_get_model(context))
    n_vocab = lib.llama_vocab_n_tokens(vocab)
    wanted = [row for row in rows if first <= row < first + len(tokens)]
    logits = {row: lib.llama_get_logits_ith(context, row - first)[:n_vocab] for row in wanted}
    lib.llama_batch_free(batch)
    return logits


def logits_of(path: Path, window: int | None, index: dict) -> list[list[float]]:
    """The logits of one model, a list for each of the index's rows."""
    model_params = lib.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(str(path).encode(), model_params)
    if not model:
        sys.exit(f"llama.cpp does not open {path.name}: see its message above")
    params = lib.llama_context_default_params()
    params.n_ctx = index["context"]
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = GGML_TYPE_F32
    params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = lib.llama_init_from_model(model, params)
    if not context:
        sys.exit(f"llama.cpp does not run {path.name}: see its message above")
    tokens, rows = index["tokens"], index["rows"]
    if window is None:
        logits = read(context, tokens, 0, rows)
    else:
        logits = {}
        for position, token in enumerate(tokens):
            forgotten = max(0, position - window + 1)
            lib.llama_memory_seq_rm(lib.llama_get_memory(context), 0, 0, forgotten)
            logits |= read(context, [token], position, rows)
    lib.llama_free(context)
    lib.llama_model_free(model)
    return [logits[row] for row in rows]


@lib.llama_log_callback
def only_errors(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    """Prints what llama.cpp says of errors, and nothing else."""
    if level == GGML_LOG_LEVEL_ERROR:
        print(text.decode(errors="replace"), end="", file=sys.stderr)


def main() -> None:
    """Writes the models, runs them and leaves the file."""
    lib.llama_log_set(only_errors, ctypes.c_void_p(0))
    lib.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
        index = write_models(Path(folder))
        models = {}
        for model in index["models"]:
            logits = logits_of(Path(folder) / model["file"], model["window"], index)
            logits = [[float(f"{value:.7g}") for value in row] for row in logits]
            models[model["name"]] = {"blake3": model["blake3"], "logits": logits}
    head = {"engine": f"llama.cpp of llama-cpp-python {lib.__version__}", "tokens": index["tokens"],
            "rows": index["rows"]}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in models.items()]
    text = json.dumps(head)[:-1] + ', "models": {\n' + ",\n".join(lines) + "\n}}\n"
    SHIPPED.write_text(text)
    print(f"{SHIPPED.relative_to(ROOT)}: {len(models)} models, {len(text)} bytes")


if __name__ == "__main__":
    main()
