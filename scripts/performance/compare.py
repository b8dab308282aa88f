"""Compares SwarmLLM's speed and memory with llama.cpp's, side by side on this machine.

Run by hand, from anywhere, after `cargo build --release` and with models from
`cargo xtask perf-model NAME FOLDER`:

    python3 scripts/performance/compare.py --swarmllm target/release/swarmllm \
        --llama-bin LLAMA_CPP/build/bin --models FOLDER --cases q4_k_m q8_0

The engines take turns, round by round, so that a disturbance meets all of them; figures are
medians with the least and the most, ratios are medians of the rounds' own ratios. The machine's
limits are measured before and after. Prints a Markdown table; `--json [FILE]` writes every single
value as well. A run that fails leaves its cells empty. Python 3.11, Linux, no packages.
"""

import argparse
import json
import os
import platform
import shlex
import sys
from pathlib import Path

import cases
import limits
import measure
import report
from engines import ENGINES, Programs, Spec


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--swarmllm", required=True, help="our program")
    parser.add_argument("--llama-bin", required=True, type=Path, help="folder of llama-bench")
    parser.add_argument("--models", required=True, type=Path, help="folder of NAME.gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=list(cases.table(2)), metavar="CASE",
                        help=f"some of: {' '.join(cases.table(2))} (all when absent)")
    parser.add_argument("--prefix", default="", help="put before every measured command")
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE",
                        help="write JSON too; after the table without a FILE")
    return parser.parse_args()


def run_rounds(programs: Programs, specs: list[Spec], rounds: int) -> report.Measured:
    """Every piece of work by every engine in every round; failures are told and left out."""
    measured: report.Measured = {}
    for number in range(1, rounds + 1):
        for spec in specs:
            for engine in ENGINES:
                try:
                    found = programs.run(engine, spec)
                except (measure.Failed, OSError) as error:
                    print(f"{number}/{rounds} {engine}: {error}", file=sys.stderr)
                    found = {}
                measured.setdefault((spec, engine), []).append(found)
                figures = " ".join(f"{key} {value:.4g}" for key, value in found.items())
                print(f"{number}/{rounds} {engine:5} {spec.model} {figures}", file=sys.stderr)
    return measured


def main() -> None:
    options = arguments()
    prefix = shlex.split(options.prefix)
    programs = Programs(options.swarmllm, options.llama_bin, options.models, prefix)
    table = cases.table(options.threads)
    rows = [row for case in options.cases or table for row in table[case]]
    missing = {row.spec.model for row in rows if not Path(programs.model(row.spec.model)).exists()}
    for name in sorted(missing):
        print(f"skipped: {programs.model(name)} is not there", file=sys.stderr)
    rows = [row for row in rows if row.spec.model not in missing]
    # In order, each once.
    specs = list(dict.fromkeys(spec for row in rows for spec in (row.against, row.spec) if spec))
    models = {spec.model: programs.show(spec.model) for spec in specs}

    counts = {spec.threads for spec in specs}
    before = limits.measure(counts, prefix)
    measured = run_rounds(programs, specs, options.rounds)
    found = limits.best(before, limits.measure(counts, prefix))

    lines = [report.Line(row, measured, models, found) for row in rows]
    machine = {
        "processor": report.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "rounds": options.rounds,
        "limits": found,
        "elsewhere_percent": report.elsewhere(measured),
    }
    print(report.markdown(lines, machine))
    if options.json:
        text = json.dumps({"machine": machine, "rows": [line.as_json() for line in lines]}, indent=1)
        if options.json == "-":
            print(text)
        else:
            Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
