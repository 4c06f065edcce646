"""What is saved between two runs is mended before it is read, and an unclean end is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra.local import saved_state


def write(state: Path, name: str, payload: dict[str, Any]) -> None:
    (state / "aws").mkdir(parents=True, exist_ok=True)
    (state / "aws" / name).write_text(json.dumps({"__ministack_format__": 2, "payload": payload}))


def read(state: Path, name: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads((state / "aws" / name).read_text())["payload"]
    return payload


def test_a_stream_is_read_from_its_new_beginning(tmp_path: Path) -> None:
    scoped = {"__account_region_scoped__": True, "data": {"0\0us-east-1\0'id'": 7}}
    write(tmp_path, "lambda.json", {"dynamodb_stream_positions": scoped, "functions": {"kept": 1}})
    saved_state.mend(tmp_path, 4566)
    told = read(tmp_path, "lambda.json")
    assert told["dynamodb_stream_positions"] == {"__account_region_scoped__": True, "data": {}}
    assert told["functions"] == {"kept": 1}


def test_messages_that_were_being_worked_on_come_again_at_once(tmp_path: Path) -> None:
    messages = [
        {"id": "1", "receipt_handle": "held", "visible_at": 9e9, "receive_count": 1},
        {"id": "2", "receipt_handle": None, "visible_at": 5.0},
    ]
    write(tmp_path, "sqs.json", {"queues": {"__account_region_scoped__": True, "data": {"q": {"messages": messages}}}})
    saved_state.mend(tmp_path, 4566)
    first, second = read(tmp_path, "sqs.json")["queues"]["data"]["q"]["messages"]
    assert (first["visible_at"], first["receipt_handle"], first["receive_count"]) == (0, None, 1)
    assert second["visible_at"] == 5.0


def test_a_photo_that_was_being_worked_on_is_nobodys(tmp_path: Path) -> None:
    rows = {
        "BOOKING": {"state": {"S": "pending"}},
        "PHOTO#1": {"lease_owner": {"S": "w"}, "lease_until": {"N": "9000000000"}},
    }
    table = {"TableName": "candid-gallery", "items": {"B#a#1": rows}}
    write(tmp_path, "dynamodb.json", {"tables": {"__account_region_scoped__": True, "data": {"t": table}}})
    saved_state.mend(tmp_path, 4566)
    kept = read(tmp_path, "dynamodb.json")["tables"]["data"]["t"]["items"]["B#a#1"]
    assert kept["PHOTO#1"] == {"lease_owner": {"S": "w"}, "lease_until": {"N": "0"}}
    assert kept["BOOKING"] == rows["BOOKING"]


def test_queues_are_found_on_another_port(tmp_path: Path) -> None:
    queue = "http://localhost:4566/000000000000/candid-photos"
    for name in ("sqs.json", "lambda.json", "cloudformation.json"):
        write(tmp_path, name, {"url": queue, "issuer": "http://localhost:4566/.well-known/jwks.json"})
    saved_state.mend(tmp_path, 4676)
    for name in ("sqs.json", "lambda.json", "cloudformation.json"):
        told = read(tmp_path, name)
        assert told["url"] == "http://localhost:4676/000000000000/candid-photos"
        assert told["issuer"] == "http://localhost:4566/.well-known/jwks.json"


def test_nothing_saved_needs_no_mending(tmp_path: Path) -> None:
    saved_state.mend(tmp_path / "new", 4566)


def test_an_end_without_saving_is_known_at_the_next_start(tmp_path: Path) -> None:
    assert not saved_state.ended_uncleanly(tmp_path)
    saved_state.mark_running(tmp_path)
    assert saved_state.ended_uncleanly(tmp_path)
    saved_state.mark_stopped(tmp_path)
    assert not saved_state.ended_uncleanly(tmp_path)
    assert not saved_state.is_saved(tmp_path)
    write(tmp_path, "cloudformation.json", {})
    assert saved_state.is_saved(tmp_path)
