"""Nothing recognisable of what goes in comes out by a log line, a metric, a trace, an event, a dead letter, or a file that a
function leaves behind; and no template, pixel or token lies in a table.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from candid.access.principal import Role
from candid.cli.problems import Refused
from candid.faces.registry import model_card
from tests.conftest import MEASURED
from tests.contract.events import change_batch, object_created, photo_batch
from tests.e2e.conftest import INDEXES
from tests.e2e.functions import Functions, unheard
from tests.e2e.leaks import heard
from tests.e2e.leaks.flows import Ask, Walk
from tests.e2e.leaks.marks import FACES, TOKENS, Marks
from tests.e2e.leaks.watching import NOTING, Daemon, noted
from tests.e2e.stack import Stack, eventually
from tests.gateway import Caller
from tests.hostile.size import tries
from tests.operations import operation_of
from tests.rekognition import client

ROLES = (Role.RECORDS, Role.INVESTIGATOR, Role.ADMIN)
FUNCTIONS = ("authorizer", "casework", "embed", "index", "ingest", "redrive", "rekognition", "search")
"""All but *roles*, which exists for a domain on AWS."""


def leaks(marks: Marks, said: Mapping[str, bytes]) -> dict[str, list[str]]:
    """What was found, by where."""
    return {where: found for where, what in sorted(said.items()) if (found := marks.found(what))}


def in_tables(marks: Marks, stack: Stack) -> list[str]:
    """What of faces, tokens and links is in a table: tables hold names and numbers, and have backups that outlive a deletion."""
    return [what for what in marks.found(heard.tables(stack)) if what.startswith((*FACES, *TOKENS))]


def told(marks: Marks, walk: Walk, said: Mapping[str, bytes], of: str) -> str:
    """The sentence on what was looked for."""
    size = sum(map(len, said.values())) / 2**20
    return f"Leaks: {walk.asked} requests; {len(marks):,} forms of what was sent looked for in {size:.1f} MB of {of}: none."


def test_nothing_recognisable_is_in_logs_metrics_events_or_temporary_files(
    stack: Stack, record_property: Callable[[str, str], None]
) -> None:
    marks, agency = Marks(), f"agency-{uuid.uuid4().hex[:8]}"
    officer = marks.word("officer")
    api = stack.api(agency)

    def settle(booking_id: str, gone: bool) -> None:
        def look() -> bool:
            try:
                return api.booking(booking_id).state in {"enrolled", "rejected"} and not gone
            except Refused:
                return gone

        eventually(look)

    token = stack.tokens(agency, *ROLES, user=officer).token()
    marks.secret("token", token)
    walk = Walk(_over_http(stack, token), stack, marks, agency, settle)
    with heard.bus(stack) as events:
        walk.well()
        walk.by_rekognition()
        walk.wrongly()
        published = eventually(lambda: events() if b"BookingErased" in events() else None)
    said = heard.logs(stack) | heard.files(Path(stack.environment["TMPDIR"]))
    said |= {"metrics": heard.metrics(stack), "events": published}
    assert b"PhotoEnrolled" in published
    assert b'"kind":"enrolled"' in said["logs/candid-embed.log"]
    assert b'"operation":"AssociateFaces"' in said["logs/candid-rekognition.log"]
    assert marks.found(said["logs/candid-embed.log"] + officer.encode()) == ["officer"], "what is there is found"
    assert leaks(marks, said) == {}
    assert in_tables(marks, stack) == []
    record_property(MEASURED, told(marks, walk, said, "logs, metrics, events and temporary files"))


@pytest.mark.parametrize("index", INDEXES[: tries(1, len(INDEXES))], indirect=True)
def test_nothing_recognisable_is_in_traces_dead_letters_or_what_a_failing_function_says(
    stack: Stack, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    marks, agency = Marks(), f"agency-{uuid.uuid4().hex[:8]}"
    officer = marks.word("officer")
    token = stack.tokens(agency, *ROLES, user=officer).token()
    marks.secret("token", token)
    folder, daemon = tmp_path / "functions", Daemon()
    watched = {"AWS_XRAY_DAEMON_ADDRESS": daemon.address, "POWERTOOLS_LOG_LEVEL": "DEBUG"}
    workers = Functions(stack, folder, NOTING, **watched, NOTED_FILES=str(folder / "noted"))
    with ExitStack() as after, unheard(stack):
        after.callback(daemon.close)
        after.callback(workers.end)

        def settle(booking_id: str, gone: bool) -> None:
            if gone:
                assert workers.invoke("embed", change_batch(agency, booking_id)) == {"batchItemFailures": []}
                return
            events = eventually(lambda: [one["Body"] for one in heard.messages(stack, "PhotosQueueUrl")])
            assert workers.invoke("embed", photo_batch(*events)) == {"batchItemFailures": []}

        walk = Walk(_by_workers(workers, agency, officer), stack, marks, agency, settle)
        walk.well()
        walk.from_a_bucket(client(walk.credentials(), workers.handler("rekognition")))
        walk.wrongly()
        for operation in ("status", "verify"):
            assert "problem" not in workers.invoke("index", {"operation": operation})
        _failing(stack, workers, walk, folder / "damaged")
        _authorize(workers, token, marks)
        workers.end()
        workers.variables = {}
        listed = json.dumps(workers.invoke("redrive", {"operation": "list"})).encode()
        letters = json.dumps(heard.messages(stack, "PhotosDeadLetterQueueUrl")).encode()
        said = workers.logs() | heard.files(workers.temporary)
        said |= {"traces": b"\n".join(daemon.segments), "dead letters": letters, "list of dead letters": listed}
        written = noted(folder / "noted")
    assert b"unforeseen failure" in said["ingest.log"]
    assert all(f'"{one}"'.encode() in said["traces"] for one in FUNCTIONS), "each function is traced"
    assert (b"IndexDamaged" in letters, b"ResourceNotFoundException" in letters) == (True, True)
    assert leaks(marks, said) == {}
    assert in_tables(marks, stack) == []
    assert [path for path in written if not _expected(path, stack, tmp_path)] == []
    record_property(MEASURED, told(marks, walk, said, "traces, dead letters and logs at DEBUG of functions that fail"))


def _over_http(stack: Stack, token: str) -> Ask:
    """The API as a client sees it."""

    def ask(method: str, path: str, body: Any = None, **how: Any) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {token}", **(how.get("headers") or {})}
        raw = how.get("raw")
        if raw is None and body is not None:
            raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        if raw is not None:
            sent["Content-Type"] = how.get("content_type", "application/json")
        query = how.get("query")
        url = stack.told["api_url"] + path + (f"?{urlencode(query)}" if query else "")
        answer = urllib3.request(method, url, body=raw, headers=sent, retries=False, timeout=40)
        return answer.status, answer.json() if answer.data else None

    return ask


def _by_workers(workers: Functions, agency: str, officer: str) -> Ask:
    """The functions as the gateway invokes them."""

    def ask(method: str, path: str, body: Any = None, **how: Any) -> tuple[int, Any]:
        found = operation_of(method, path)
        assert found is not None, (method, path)
        operation = found[0]

        def handler(event: dict[str, Any], _: Any) -> dict[str, Any]:
            return dict(workers.invoke(operation.function, event | {"resource": operation.path}))

        answer = Caller(handler, agency, officer, " ".join(role.value for role in ROLES))(method, path, body, **how)
        return answer.status, answer.body

    return ask


def _authorize(workers: Functions, token: str, marks: Marks) -> None:
    """A token that is good, some that are not; and one where the issuer does not answer."""
    event = {"type": "TOKEN", "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abc123/candid/GET/v1/bookings"}
    good = event | {"authorizationToken": f"Bearer {token}"}
    assert workers.invoke("authorizer", good)["policyDocument"]
    for bad in (token[:-8] + "AAAAAAAA", marks.word("token"), "e30.e30." + marks.word("token")):
        refused = workers.invoke("authorizer", event | {"authorizationToken": f"Bearer {bad}"})
        assert refused["errorType"] == "Exception", refused
    workers.end()
    workers.variables = {"TOKEN_JWKS_URL": "http://127.0.0.1:9/keys"}
    assert workers.invoke("authorizer", good)["errorType"] == "DependencyUnavailable"


def _failing(stack: Stack, workers: Functions, walk: Walk, damaged: Path) -> None:
    """With an index that is damaged, and with stores that are not there; the photo's event comes for the last time."""
    booking_id, photo_id = walk.enrol("person_b_2")
    event = photo_batch(object_created(f"{walk.agency}/bookings/{booking_id}/{photo_id}", bucket=stack.photos_bucket))
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "5"
    damaged.mkdir()
    (damaged / f"{model_card('sface').id}.sqlite").write_bytes(b"no index" * 1000)
    stores = ("GALLERY_TABLE", "CASEWORK_TABLE", "PROBES_BUCKET")
    for variables in (
        {"EMBEDDED_INDEX_PATH": str(damaged), "OPENSEARCH_ENDPOINT": ""},
        dict.fromkeys(stores, "nowhere"),
    ):
        workers.end()
        workers.variables = variables
        walk.anything()
        assert workers.invoke("embed", event) == {"batchItemFailures": []}, "put aside"


def _expected(path: Path, stack: Stack, folder: Path) -> bool:
    """Whether a function may write a file: the embedded index, and the mark that X-Ray's SDK leaves."""
    ours = (stack.root / ".candid" / "index", folder / "functions" / "damaged", Path("/tmp/.aws-xray"))  # noqa: S108
    return any(path.is_relative_to(one) for one in ours)
