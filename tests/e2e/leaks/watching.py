"""A worker watched: what it sends to X-Ray's daemon, and which files it opens to write."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Final

NOTING: Final = """
import os, sys
_noted = os.open(os.environ["NOTED_FILES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def _note(event, told):
    if event == "open" and not isinstance(told[0], int) and (told[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        os.write(_noted, os.fsencode(told[0]) + b"\\n")
    elif event == "sqlite3.connect":
        os.write(_noted, os.fsencode(told[0]) + b"\\n")

sys.addaudithook(_note)
"""
"""What a worker's Python runs at its start."""


class Daemon:
    """X-Ray's, as a function sees it: what it is sent
    (https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html)."""

    def __init__(self) -> None:
        self.segments: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                self.segments.append(self._socket.recv(65_536))
            except OSError:
                return


def noted(path: Path) -> set[Path]:
    """The files that were opened to write."""
    return {Path(line) for line in path.read_text().splitlines()}
