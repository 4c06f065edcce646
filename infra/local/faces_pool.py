"""The workers of one function: each takes one invocation at a time, is killed at its time-out, and is replaced when it dies.

Not here: HTTP (``faces_server``) and what runs inside a worker (``faces_worker``).
"""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

_WORKER: Final = Path(__file__).with_name("faces_worker.py")
INITIALISATION_SECONDS: Final = 60
LIMIT_BYTES: Final = 6_291_456
"""Of a synchronous invocation's request, and of its answer: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call: the event as JSON, and until when (milliseconds since 1970) an answer is waited for."""

    request_id: str
    arn: str
    deadline_ms: int
    trace: str
    payload: bytes

    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.deadline_ms / 1000 - time.time()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: JSON, and whether it is a failure in Lambda's error shape."""

    body: bytes
    failed: bool = False


def error(kind: str, message: str) -> Answer:
    """A failure of the runtime's own, in Lambda's words."""
    return Answer(json.dumps({"errorType": kind, "errorMessage": message}).encode(), failed=True)


class InitialisationFailed(Exception):
    """The worker could not import its handler; ``answer`` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("The function can't start.")
        self.answer = answer


class Worker:
    """A process that has imported the handler. Raises ``InitialisationFailed`` when it can't."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        ours, theirs = socket.socketpair()
        with log.open("ab") as output:
            # -P: a function sees the folders that the image has, and not this one.
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_WORKER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=environment["LAMBDA_TASK_ROOT"],
                pass_fds=[theirs.fileno()],
            )
        theirs.close()
        self._connection = Connection(ours.detach())
        said = self._receive(INITIALISATION_SECONDS)
        if said != b"ready":
            self.end()
            raise InitialisationFailed(Answer(said, failed=True) if said else self._exited("before it was ready"))

    def invoke(self, call: Invocation, timeout: int) -> Answer:
        """The handler's answer. The worker is gone afterwards if it was too late or died."""
        head = {"request_id": call.request_id, "arn": call.arn, "deadline_ms": call.deadline_ms, "trace": call.trace}
        with suppress(OSError):
            self._connection.send_bytes(json.dumps(head).encode())
            self._connection.send_bytes(call.payload)
        word = self._receive(call.seconds_left())
        body = self._receive(5) if word else None
        if word is not None and body is not None:
            return Answer(body, failed=word == b"failed")
        late = self.process.poll() is None and call.seconds_left() <= 0
        self.end()
        if late:
            return error(
                "Sandbox.Timedout", f"RequestId: {call.request_id} Error: Task timed out after {timeout}.00 seconds"
            )
        return self._exited(f"RequestId: {call.request_id}")

    def lives(self) -> bool:
        """Whether the process can take an invocation."""
        return self.process.poll() is None

    def end(self) -> None:
        """Kill the process: as on Lambda, nothing of it outlives a time-out."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._connection.close()

    def _receive(self, seconds: float) -> bytes | None:
        with suppress(EOFError, OSError):
            if self._connection.poll(max(0.0, seconds)):
                return self._connection.recv_bytes()
        return None

    def _exited(self, where: str) -> Answer:
        code = self.process.wait()
        how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return error("Runtime.ExitError", f"{where} Error: Runtime exited with {how}")


class Pool:
    """``size`` workers of one function, made when first needed or by ``warm``."""

    def __init__(self, environment: Mapping[str, str], timeout: int, size: int, log: Path) -> None:
        self.timeout = timeout
        self._environment = dict(environment)
        self._log = log
        # Each place holds a worker or None, for one to be made; the warm ones are taken first.
        self._places: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)
        self._size = size
        self._closed = threading.Event()

    def warm(self) -> None:
        """Start every worker that is not there, all at the same time; returns when they are."""
        threads = [threading.Thread(target=self._warm_one, args=(place,), daemon=True) for place in self._free_places()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def invoke(self, call: Invocation) -> Answer:
        """Wait for a free worker, no longer than the caller does, and let it answer."""
        try:
            worker = self._places.get(timeout=max(0.0, call.seconds_left()))
        except queue.Empty:
            return error(
                "TooManyRequestsException", "Rate Exceeded: every worker of the function was busy until the time-out."
            )
        try:
            if worker is None or not worker.lives():
                worker = Worker(self._environment, self._log)
            answer = worker.invoke(call, self.timeout)
        except InitialisationFailed as failed:
            worker, answer = None, failed.answer
        finally:
            self._put_back(worker)
        if len(answer.body) > LIMIT_BYTES:
            too_large = f"Response payload size exceeded maximum allowed payload size ({LIMIT_BYTES} bytes)."
            return error("Function.ResponseSizeTooLarge", too_large)
        return answer

    def close(self) -> None:
        """End every worker; one that is busy ends when its answer is there, or with this process."""
        self._closed.set()
        for worker in self._free_places():
            if worker:
                worker.end()

    def _free_places(self) -> list[Worker | None]:
        places: list[Worker | None] = []
        with suppress(queue.Empty):
            while True:
                places.append(self._places.get_nowait())
        return places

    def _warm_one(self, worker: Worker | None) -> None:
        try:
            if worker is None or not worker.lives():
                worker = Worker(self._environment, self._log)
        except InitialisationFailed:
            worker = None  # The first invocation tries again, and answers with the reason.
        finally:
            self._put_back(worker)

    def _put_back(self, worker: Worker | None) -> None:
        if self._closed.is_set() and worker:
            worker.end()
            worker = None
        self._places.put(worker if worker and worker.lives() else None)
