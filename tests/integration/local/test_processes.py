"""Processes of ours are known again, asked before they are killed, and nobody else's process is ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from infra.local import processes
from infra.local.processes import Process


def started(tmp_path: Path, code: str, mark: str = "a-mark-of-ours") -> Process:
    return processes.start(
        [sys.executable, "-c", code, mark],
        mark=mark,
        log=tmp_path / "process.log",
        environment=dict(os.environ),
        folder=tmp_path,
    )


def test_a_process_is_asked_to_end_and_may_put_its_things_in_order(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('in order', flush=True), sys.exit(0)))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    process = started(tmp_path, code)
    assert process.is_running()
    while "up" not in processes.last_lines(tmp_path / "process.log"):
        time.sleep(0.02)
    assert process.stop(5)
    assert "in order" in processes.last_lines(tmp_path / "process.log")
    assert not process.is_running()


def test_one_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    process = started(tmp_path, code)
    while not (said := processes.last_lines(tmp_path / "process.log")):
        time.sleep(0.02)
    assert not process.stop(0.3)
    time.sleep(0.1)
    status = Path(f"/proc/{said}/status")
    assert not status.exists() or "zombie" in status.read_text()


def test_an_id_that_another_process_has_now_is_not_ours() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        stranger = Process.from_json({"pid": os.getppid(), "mark": "a-mark-of-ours"})
        assert not stranger.is_running()
        assert stranger.stop(0.1)
        assert other.poll() is None
        other.kill()
