"""A node for a program that is told where it is: starts it, runs the program, ends it.

Usage: python tests/clients/node.py [--halves] PATH_TO_SWARMLLM PROGRAM [ARGUMENTS ..]
In the arguments, `{url}`, `{data}` and `{program}` stand for the node's address, its data folder
and the program that it runs. Answers the program's exit code. The node has the embedded model, or,
with `--halves`, half of its layers, and another node the rest.
"""

import contextlib
import subprocess
import sys

from harness import Node, two_halves


def main():
    """Runs."""
    arguments = sys.argv[1:]
    is_split = arguments[0] == "--halves"
    program, *command = arguments[is_split:]
    with contextlib.ExitStack() as nodes:
        started = two_halves(program) if is_split else [Node(program, "demo")]
        node, *_ = [nodes.enter_context(node) for node in started]
        known = {"{url}": node.url, "{data}": node.data, "{program}": program}
        for name, value in known.items():
            command = [argument.replace(name, value) for argument in command]
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
