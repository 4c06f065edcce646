"""One execution environment of a function: imports its handler, then answers one invocation at a time, as Lambda's runtime does.

Run by ``faces_pool`` as a process of its own. Its output is the function's log. Requests and answers travel over a socket of the
parent's, whose number is the one argument; when the parent is gone, the process ends, in the middle of an invocation too: it
would otherwise go on writing when a later run has begun.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from traceback import extract_tb
from typing import Any


@dataclass
class Context:
    """What a handler is told about its invocation (https://docs.aws.amazon.com/lambda/latest/dg/python-context.html)."""

    aws_request_id: str
    invoked_function_arn: str
    deadline_ms: int
    function_name: str = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
    function_version: str = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "")
    memory_limit_in_mb: str = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    log_group_name: str = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
    log_stream_name: str = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the process is killed."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def failure(error: BaseException) -> dict[str, Any]:
    """What Lambda answers for an exception, without its text: that can hold what the caller sent."""
    frames = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in extract_tb(error.__traceback__)]
    return {
        "errorType": type(error).__name__,
        "errorMessage": "The function raised an exception that it does not handle.",
        "stackTrace": [frame for frame in frames if __file__ not in frame],
    }


def megabytes() -> int:
    """The most memory that this process has held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // (2**20 if sys.platform == "darwin" else 2**10)


def serve(connection: Connection, handler: Any, initialised_ms: float) -> None:
    """Answer invocations until the parent closes the connection."""
    initialised = f"\tInit Duration: {initialised_ms:.2f} ms"
    while True:
        try:
            head = json.loads(connection.recv_bytes())
            payload = connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            return
        request_id = head["request_id"]
        os.environ["_X_AMZN_TRACE_ID"] = head["trace"]
        print(f"START RequestId: {request_id} Version: $LATEST", flush=True)
        started = time.perf_counter()
        try:
            result = handler(json.loads(payload), Context(request_id, head["arn"], head["deadline_ms"]))
            answer, failed = json.dumps(result, ensure_ascii=False, allow_nan=False).encode(), False
        except Exception as error:
            shape = failure(error)
            print(f"[ERROR] {shape['errorType']}: unhandled; passed {shape['stackTrace']}", flush=True)
            answer, failed = json.dumps(shape).encode(), True
        spent = (time.perf_counter() - started) * 1000
        print(
            f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: {spent:.2f} ms\t"
            f"Memory Size: {Context.memory_limit_in_mb} MB\tMax Memory Used: {megabytes()} MB{initialised}",
            flush=True,
        )
        initialised = ""
        connection.send_bytes(b"failed" if failed else b"done")
        connection.send_bytes(answer)


def end_with_parent(parent: int) -> None:
    """Look until this process is no child of ``parent`` any more, and end it then."""
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


def main() -> int:
    """Import the handler, say so or why not, and serve."""
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    started = time.perf_counter()
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    try:
        handler = getattr(importlib.import_module(module), name)
    except BaseException as error:
        print(f"[ERROR] {type(error).__name__} while importing {module}: {error}", flush=True)
        connection.send_bytes(json.dumps(failure(error) | {"errorMessage": f"{module} can't be imported."}).encode())
        return 1
    initialised_ms = (time.perf_counter() - started) * 1000
    connection.send_bytes(b"ready")
    serve(connection, handler, initialised_ms)
    return 0


if __name__ == "__main__":
    sys.exit(main())
