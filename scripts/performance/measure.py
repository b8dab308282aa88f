"""Runs one measured command and says what it printed and what it cost.

Called by engines.py. Linux: memory comes from the kernel's account of the child, and what other
programs did to the machine meanwhile from /proc/stat.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass


# Ends by itself when its parent was killed.
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10_000_000):
        pass
"""


class Failed(Exception):
    """A command that did not end well; the text is the end of what it complained."""


@dataclass
class Outcome:
    """What a command printed, its largest resident size, and what else kept the cores busy."""

    output: str
    peak_mib: float
    elsewhere_percent: float


def _machine_seconds() -> tuple[float, float]:
    """Seconds that all cores together were busy, and stolen by other machines, since the start."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:]]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = fields[:8]
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + interrupts + soft_interrupts) / ticks, stolen / ticks


def run(command: list[str], environment: dict[str, str]) -> Outcome:
    """Runs a command to its end."""
    busy_before, stolen_before = _machine_seconds()
    began = time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, **environment},
        )
        # `wait4` instead of `wait`: it gives the child's resources.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        busy_after, stolen_after = _machine_seconds()
        output.seek(0)
        errors.seek(0)
        text = output.read().decode(errors="replace")
        complaint = errors.read().decode(errors="replace").strip()[-400:]
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit code {process.returncode}: {complaint}")
    own = usage.ru_utime + usage.ru_stime
    elsewhere = busy_after - busy_before - own + stolen_after - stolen_before
    share = 100.0 * max(0.0, elsewhere) / (seconds * (os.cpu_count() or 1))
    return Outcome(text, usage.ru_maxrss / 1024, share)


@contextmanager
def busy(count: int):
    """Keeps `count` other processes computing."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
