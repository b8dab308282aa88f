"""Runs checks one after the other, tells of each, and fails at the end if any failed.

Used by the scripts of this folder.
"""

import contextlib
import sys
import time
import traceback


@contextlib.contextmanager
def checks(client, version):
    """Gives a function that runs a check: its first line of documentation says what it shows."""
    failed = []

    def check(function, *arguments):
        began = time.monotonic()
        try:
            function(*arguments)
            outcome = "ok"
        except Exception:  # Whatever a client raises is a failed check.
            failed.append(function.__name__)
            outcome = "FAILED"
            traceback.print_exc()
        seconds = time.monotonic() - began
        print(f"{outcome:6} {client} {function.__name__} ({seconds:.1f} s)", flush=True)

    yield check
    if failed:
        print(f"FAILED: {client} {version}: {', '.join(failed)}")
        sys.exit(1)
    print(f"ok: {client} {version}")
