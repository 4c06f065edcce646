"""A TCP proxy in front of real nodes that passes bytes on, holds answers back, or cuts them off.

With several targets it is the load balancer that a domain's one endpoint is: each new connection goes to the next node that
accepts one.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

HOST = "127.0.0.1"
_CONNECT_SECONDS = 1.0
_CHUNK = 65536


class Proxy:
    """Listens on a port of its own in front of the nodes at ``targets`` (ports). What it does with answers can be changed at
    any time, and holds for connections that are open already."""

    def __init__(self, *targets: int, port: int = 0) -> None:
        self.targets: Sequence[int] = targets
        self.delay = 0.0
        """Seconds before each piece of an answer goes on."""
        self.silent = False
        """Take requests and say nothing."""
        self.cut_after: int | None = None
        """Pass so many bytes of each answer on, then break the connection with a reset."""
        self.recorded: bytearray | None = None
        """What clients send is appended to it, where there is one: for a client that uses one connection."""
        self._turn = itertools.count()
        self._open: set[socket.socket] = set()
        self._closed = threading.Event()
        self._listener = socket.create_server((HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Break every connection and listen no more."""
        self._closed.set()
        for one in [self._listener, *self._open]:
            _shut(one)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        node = self._connect()
        if node is None:
            _reset(client)
            return
        self._open |= {client, node}
        back = threading.Thread(target=self._answer, args=(node, client), daemon=True)
        back.start()
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                if self.recorded is not None:
                    self.recorded += data
                node.sendall(data)
        _shut(node)
        back.join()
        _shut(client)
        self._open -= {client, node}

    def _answer(self, node: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := node.recv(_CHUNK):
                self._wait(self.delay)
                while self.silent and not self._closed.is_set():
                    self._wait(0.02)
                if self.cut_after is not None:
                    client.sendall(data[: self.cut_after])
                    _reset(client)
                    return
                client.sendall(data)
        _shut(client)

    def _wait(self, seconds: float) -> None:
        if seconds:
            self._closed.wait(seconds)

    def _connect(self) -> socket.socket | None:
        for _ in self.targets:
            target = self.targets[next(self._turn) % len(self.targets)]
            with suppress(OSError):
                node = socket.create_connection((HOST, target), _CONNECT_SECONDS)
                node.settimeout(None)
                return node
        return None


@contextmanager
def proxy(*targets: int) -> Iterator[Proxy]:
    """A proxy for the length of a ``with``."""
    made = Proxy(*targets)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def faulty(made: Proxy, *, delay: float = 0.0, silent: bool = False, cut_after: int | None = None) -> Iterator[None]:
    """Let the network misbehave for the length of a ``with``."""
    made.delay, made.silent, made.cut_after = delay, silent, cut_after
    try:
        yield
    finally:
        made.delay, made.silent, made.cut_after = 0.0, False, None


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        one.close()


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # A thread that waits for the client holds the socket open; this wakes it and sends nothing.
    with suppress(OSError):
        one.shutdown(socket.SHUT_RD)
    with suppress(OSError):
        one.close()
