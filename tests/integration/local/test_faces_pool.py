"""The process in the image's place runs functions as Lambda does: one invocation a worker, time-outs, crashes, no leaks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from infra.local.faces_config import FunctionConfig
from infra.local.faces_pool import LIMIT_BYTES, Answer, Invocation, Pool
from infra.local.places import CHECKOUT
from infra.local.processes import Process

from tests.e2e.stack import eventually

FUNCTION = """
import os, sys, time
loaded = time.time()

def handler(event, context):
    print("seen by the log:", event.get("say", ""))
    what = event["do"]
    if what == "who":
        return {
            "pid": os.getpid(), "left": context.get_remaining_time_in_millis(), "request": context.aws_request_id,
            "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb, "trace": os.environ["_X_AMZN_TRACE_ID"],
            "table": os.environ.get("GALLERY_TABLE"), "home": os.environ.get("CANDID_HOME"), "path": sys.path,
        }
    if what == "sleep":
        print("asleep", os.getpid(), flush=True)
        time.sleep(event["seconds"])
        return {"pid": os.getpid()}
    if what == "raise":
        raise KeyError("a name that nobody may read")
    if what == "exit":
        os._exit(3)
    if what == "large":
        return "x" * event["bytes"]
    if what == "unfit":
        return {"not": object()}
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(source: str = FUNCTION, *, size: int = 1, timeout: int = 10) -> Pool:
        (tmp_path / "trial.py").write_text(source)
        config = FunctionConfig("candid-trial", "arn:trial", "trial.handler", timeout, 512, (("GALLERY_TABLE", "t"),))
        environment = config.environment("http://127.0.0.1:1", tmp_path, tmp_path) | {
            "PYTHONPATH": str(tmp_path),
            "LAMBDA_TASK_ROOT": str(tmp_path),
        }
        made.append(Pool(environment, timeout, size, tmp_path / "trial.log"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def call(limit: float = 10.0, **event: Any) -> Invocation:
    """An invocation with ``event``, answered within ``limit`` seconds."""
    deadline = int((time.time() + limit) * 1000)
    return Invocation(str(uuid.uuid4()), "arn:trial", deadline, "Root=1-2-3;Sampled=0", json.dumps(event).encode())


def value(answer: Answer) -> Any:
    assert not answer.failed, answer.body
    return json.loads(answer.body)


def failure(answer: Answer) -> Any:
    assert answer.failed
    return json.loads(answer.body)


def test_a_function_is_told_what_lambda_tells_it(pool: Callable[..., Pool]) -> None:
    asked = call(5, do="who")
    told = value(pool().invoke(asked))
    assert 0 < told["left"] <= 5000
    assert told["request"] == asked.request_id
    assert (told["arn"], told["memory"], told["trace"]) == ("arn:trial", "512", "Root=1-2-3;Sampled=0")
    assert told["table"] == "t"


def test_a_function_sees_its_own_environment_and_folders_and_nothing_of_the_laptop(
    pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANDID_HOME", "/somewhere")
    told = value(pool().invoke(call(do="who")))
    assert told["home"] is None
    assert not any(path.endswith("infra/local") for path in told["path"])


def test_a_warm_worker_answers_again(pool: Callable[..., Pool]) -> None:
    one = pool()
    assert value(one.invoke(call(do="who")))["pid"] == value(one.invoke(call(do="who")))["pid"]


def test_a_worker_takes_one_invocation_at_a_time_and_two_workers_take_two(pool: Callable[..., Pool]) -> None:
    two = pool(size=2)
    two.warm()
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(two.invoke(call(10, do="sleep", seconds=0.3)))) for _ in range(4)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.6 <= time.monotonic() - started < 1.1
    assert len({value(answer)["pid"] for answer in answers}) == 2


def test_a_worker_that_is_too_late_is_killed_and_the_next_invocation_gets_a_fresh_one(
    pool: Callable[..., Pool],
) -> None:
    one = pool(timeout=1)
    before = value(one.invoke(call(do="who")))["pid"]
    started = time.monotonic()
    late = failure(one.invoke(call(0.4, do="sleep", seconds=30)))
    assert time.monotonic() - started < 2
    assert late["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in late["errorMessage"]
    assert value(one.invoke(call(do="who")))["pid"] != before


def test_an_exception_has_lambdas_shape_and_not_its_text(pool: Callable[..., Pool], tmp_path: Path) -> None:
    told = failure(pool().invoke(call(do="raise")))
    assert told["errorType"] == "KeyError"
    assert "nobody may read" not in json.dumps(told)
    assert any("trial.py" in frame and "in handler" in frame for frame in told["stackTrace"])
    assert "nobody may read" not in (tmp_path / "trial.log").read_text()


def test_a_worker_that_dies_is_said_to_have_died_and_is_replaced(pool: Callable[..., Pool]) -> None:
    one = pool()
    told = failure(one.invoke(call(do="exit")))
    assert told["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in told["errorMessage"]
    assert value(one.invoke(call(do="who")))["pid"]


def test_what_is_no_json_is_a_failure_and_the_worker_lives(pool: Callable[..., Pool]) -> None:
    one = pool()
    before = value(one.invoke(call(do="who")))["pid"]
    assert failure(one.invoke(call(do="unfit")))["errorType"] == "TypeError"
    assert value(one.invoke(call(do="who")))["pid"] == before


def test_an_answer_over_six_megabytes_is_refused_as_lambda_does(pool: Callable[..., Pool]) -> None:
    one = pool()
    assert len(value(one.invoke(call(do="large", bytes=LIMIT_BYTES - 2)))) == LIMIT_BYTES - 2
    assert failure(one.invoke(call(do="large", bytes=LIMIT_BYTES)))["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_function_that_cannot_be_imported_says_so_and_is_tried_again(
    pool: Callable[..., Pool], tmp_path: Path
) -> None:
    one = pool("import a_module_that_is_not_there")
    told = failure(one.invoke(call(do="who")))
    assert told["errorType"] == "ModuleNotFoundError"
    (tmp_path / "trial.py").write_text(FUNCTION)
    assert value(one.invoke(call(do="who")))["pid"]


def test_a_caller_that_gave_up_while_waiting_costs_no_work(pool: Callable[..., Pool]) -> None:
    one = pool()
    one.warm()
    busy = threading.Thread(target=lambda: one.invoke(call(5, do="sleep", seconds=0.8)))
    busy.start()
    time.sleep(0.1)
    assert failure(one.invoke(call(0.2, do="who")))["errorType"] == "TooManyRequestsException"
    busy.join()


def test_the_log_says_how_long_and_how_much_and_keeps_what_the_function_printed(
    pool: Callable[..., Pool], tmp_path: Path
) -> None:
    pool().invoke(call(do="who", say="hello"))
    log = (tmp_path / "trial.log").read_text()
    assert "seen by the log: hello" in log
    assert "Init Duration:" in log
    assert "Max Memory Used:" in log


PARENT = """
import sys, time
from pathlib import Path
from infra.local.faces_pool import Pool
from tests.integration.local.test_faces_pool import call

folder = Path(sys.argv[1])
environment = {"PYTHONPATH": str(folder), "LAMBDA_TASK_ROOT": str(folder), "_HANDLER": "trial.handler"}
Pool(environment, 60, 1, folder / "trial.log").invoke(call(60, do="sleep", seconds=60))
"""


def test_a_worker_ends_with_the_process_that_it_works_for_in_the_middle_of_an_invocation(tmp_path: Path) -> None:
    (tmp_path / "trial.py").write_text(FUNCTION)
    log = tmp_path / "trial.log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=CHECKOUT)
    try:
        said = eventually(lambda: log.exists() and re.search(r"^asleep (\d+)$", log.read_text(), re.M))
        worker = Process(int(said[1]), "faces_worker")
        assert worker.is_running()
    finally:
        parent.kill()
        parent.wait()
    eventually(lambda: not worker.is_running(), 5)
