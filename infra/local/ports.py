"""Whether a port is free; if not, one sentence that says who holds it and which variable moves Candid elsewhere."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from infra.local.places import HOST
from infra.local.problems import LocalError


def require_free(
    port: int, variable: str, purpose: str, command: str = "make run", *, instead: int | None = None
) -> None:
    """Raise ``LocalError`` unless ``port`` can be listened on; ``instead`` is another value for ``variable`` (``port`` + 10)."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
            # On Linux two sockets may share an address until one listens.
            trial.listen(1)
        except OSError as error:
            if error.errno == errno.EACCES:
                raise LocalError(
                    f"Port {port}, meant for {purpose}, needs an administrator. Choose another with {variable}, "
                    f"as in: {command} {variable}={port + 10000}"
                ) from None
            holder = _holder(port)
            by = f" by {holder}" if holder else ""
            raise LocalError(
                f"Port {port}, meant for {purpose}, is taken{by}. "
                f"Stop that, or choose another port, as in: {command} {variable}={instead or port + 10}"
            ) from None


def _holder(port: int) -> str:
    """The process that listens on ``port``, as far as this user may know."""
    pid = _listening_pid_linux(port) or _listening_pid_lsof(port)
    if not pid:
        return ""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        command = " ".join(word for word in words if word)
        return f"process {pid} ({command[:60]}{'…' if len(command) > 60 else ''})"
    return f"process {pid}"


def _listening_pid_linux(port: int) -> int | None:
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and int(columns[1].rsplit(":", 1)[1], 16) == port:
                    sockets.add(f"socket:[{columns[9]}]")
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                return int(process.name)
    return None


def _listening_pid_lsof(port: int) -> int | None:
    lsof = shutil.which("lsof")
    if not lsof:
        return None
    found = subprocess.run(
        [lsof, "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"], capture_output=True, text=True, check=False
    )
    first = found.stdout.split()[:1]
    return int(first[0]) if first and first[0].isdigit() else None
