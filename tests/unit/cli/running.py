"""Runs the command line as a person or a script would: in a process of its own, in a folder of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.size import tries

_PATIENCE = 120
_AGAIN = 15
"""Seconds after which a person presses Ctrl-C once more where nothing has come of it."""
_PROGRAM = [sys.executable, "-c", "from candid.cli.main import run; run()"]
# Linux carries getrusage's ru_maxrss over an exec: it would tell the size of the test runner. VmHWM begins anew.
_WEIGHED = """
import atexit, sys
from pathlib import Path
def peak():
    return next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
atexit.register(lambda: print(peak(), file=sys.stderr))
from candid.cli.main import run
run()
"""


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    code: int
    out: str
    err: str

    @property
    def peak_kilobytes(self) -> int:
        """The most memory that a weighed run held."""
        return int(self.err.split()[-1])

    @property
    def json(self) -> Any:
        """The object on the last line of stdout."""
        return json.loads(self.out.splitlines()[-1])


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything of Candid's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CANDID_")}
    return kept | {"COLUMNS": "140"} | dict(more or {})


def candid(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, weighed: bool = False) -> Ran:
    """Run ``candid`` to its end; ``weighed`` makes its peak memory the last word on stderr (Linux: kilobytes)."""
    program = [sys.executable, "-c", _WEIGHED] if weighed else _PROGRAM
    command = [*program, *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=tries(180, 1_800),
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def asked(*arguments: str | Path, cwd: Path, typed: bytes) -> Ran:
    """Run ``candid`` on a terminal, and type this where it asks; ``err`` is what the terminal showed. ``out`` is a pipe.

    A Ctrl-C that comes between the question and the wait for its answer is noted and interrupts nothing, in any program of
    Python's: as a person would, this one is pressed again.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*_PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C is this process's own.
    )
    os.close(theirs)
    shown, presses, end = b"", 0, time.monotonic() + _PATIENCE
    with contextlib.suppress(OSError):  # A terminal that nobody has any more.
        while time.monotonic() < end:
            ready, _, _ = select.select([ours], [], [], _AGAIN)
            piece = os.read(ours, 1024) if ready else b""
            if ready and not piece:
                break
            shown += piece
            again = typed == b"\x03" and not ready and presses == 1
            if b"[y/N]" in shown and (presses == 0 or again):
                os.write(ours, typed)
                presses += 1
        else:
            process.kill()
            pytest.fail(f"Nothing came of it in {_PATIENCE} seconds: {shown.decode()}")
    os.close(ours)
    assert process.stdout
    with process.stdout as out:
        told = out.read().decode()
    return Ran(process.wait(30), told, shown.decode().replace("\r\n", "\n"))


def interrupted(*arguments: str | Path, cwd: Path, once: Callable[[], bool]) -> Ran:
    """Run ``candid`` and press Ctrl-C when ``once`` is true."""
    command = [*_PROGRAM, *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not once() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err, err
    return Ran(process.returncode, out, err)
