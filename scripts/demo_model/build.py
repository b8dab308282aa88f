"""Makes the shipped demo models from nothing: tokenizer, training, GGUF files, examination.

Run by hand, from anywhere; takes about 80 minutes on one core:

    python scripts/demo_model/build.py --work /tmp/demo_model

Writes models/demo/demo.gguf, models/demo/demo-draft.gguf and models/demo/figures.json. With
`--only export evaluate` it runs just these steps on what the work folder holds. Stops at the first
step that fails.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent.parent / "models" / "demo"
NAMES = ("demo", "demo-draft")
STEPS = ("tokenizer", "train", "export", "evaluate")


def call(script: str, *arguments: object) -> str:
    """Runs one of the scripts beside this one; passes its output on and returns it."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    print("+", " ".join(command[1:]), flush=True)
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{script} failed with exit code {process.returncode}: see its output above")
    return "".join(lines)


def figures_of(output: str) -> dict:
    """The JSON object on the last line of a script's output."""
    return json.loads(output.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if "tokenizer" in options.only:
        call("tokenizer.py", "--out", options.work / "tokenizer.json")
    figures = {}
    for name in NAMES:
        if "train" in options.only:
            call("train.py", name, "--work", options.work)
        if "export" in options.only:
            out = SHIPPED / f"{name}.gguf"
            output = call("export.py", name, "--work", options.work, "--out", out)
            figures[name] = figures_of(output) | {"file": out.name}
    if "evaluate" in options.only:
        draft = SHIPPED / "demo-draft.gguf"
        output = call("evaluate.py", SHIPPED / "demo.gguf", "--draft", draft)
        figures["evaluation"] = figures_of(output)
        (SHIPPED / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
