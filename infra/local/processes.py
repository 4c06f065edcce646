"""Starting a process of ours, knowing it again later, and ending it so that it can put its things in order."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.problems import LocalError


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id and a word of its command line: ids are used again, and nobody else's process is ever ended."""

    pid: int
    mark: str

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``local.json``."""
        return {"pid": self.pid, "mark": self.mark}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Process:
        """From ``local.json``."""
        return cls(int(told["pid"]), str(told["mark"]))

    def is_running(self) -> bool:
        """Whether it still runs, and is the one that was started."""
        try:
            return os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:  # Not a child of this process, or one that was waited for already.
            return self.mark in _command(self.pid)

    def stop(self, patience: float) -> bool:
        """End it: asked first, with ``patience`` seconds to finish, then killed. False if it had to be killed."""
        if not self.is_running():
            return True
        _signal(self.pid, signal.SIGTERM)
        if self._ended_within(patience):
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """End it at once, with the processes that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _signal(self.pid, signal.SIGKILL)
        self._ended_within(5)

    def _ended_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


def start(command: Sequence[str], *, mark: str, log: Path, environment: Mapping[str, str], folder: Path) -> Process:
    """Start ``command`` in a session of its own (a Ctrl-C is ours to pass on), its output appended to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    return Process(child.pid, mark)


def last_lines(log: Path, count: int = 5) -> str:
    """What a process said last, for the sentence about its end."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    return ""


def ended_early(what: str, log: Path) -> LocalError:
    """The sentence for a process that ended while it was starting."""
    return LocalError(f"{what} ended while it was starting. Its log is {log}; its last lines:\n{last_lines(log)}")


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _command(pid: int) -> str:
    """The command line of a process that lives (not of a zombie); empty where there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    except OSError:
        return ""
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout
