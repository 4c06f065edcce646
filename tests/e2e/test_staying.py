"""A local Candid keeps its gallery between runs, says when it could not, and leaves no process behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid

import pytest
from infra.local.places import CHECKOUT

from candid.cli.answers import Search
from candid.cli.api import Api, text
from candid.cli.operators import Operators
from tests import opensearch
from tests.e2e.conftest import INDEXES, MAJOR, only_embedded
from tests.e2e.stack import Stack, eventually, portrait
from tests.hostile.size import tries

embedded_first = pytest.mark.parametrize("index", INDEXES[: tries(1, len(INDEXES))], indirect=True)
"""What is so with either index; with OpenSearch in the full form, since each start of a node takes half a minute."""
only_opensearch = pytest.mark.parametrize("index", ["opensearch"], indirect=True)


def search(api: Api) -> Search:
    cases = [case for page in api.cases() for case in page]
    case = cases[0] if cases else api.open_case("CASE-1", "criminal_investigation", "reasonable suspicion")
    probe = text(portrait("person_a_2.jpg"))
    return api.search({"case_id": case.case_id, "probe": probe, "probe_source": "other_still"})


def processes(stack: Stack) -> dict[str, int]:
    told = json.loads((stack.root / ".candid" / "processes.json").read_text())
    return {name: process["pid"] for name, process in told["processes"].items()}


@embedded_first
def test_a_second_run_finds_the_gallery_and_its_streams_still_work(own: Stack) -> None:
    own.up()
    api = own.api("lakeside-pd")
    booking_id = own.book(api, portrait("person_a_1.jpg"), subject="subject-a")
    own.settled(api, booking_id)
    api.client.call("PATCH", f"/v1/bookings/{booking_id}", body={"subject_id": "subject-b"})
    eventually(lambda: search(api).gallery_size == 1)
    eventually(lambda: search(api).results[0].candidates[0].subject_id == "subject-b")
    own.stop()
    own.up()
    api = own.api("lakeside-pd")
    assert search(api).results[0].candidates[0].booking_id == booking_id
    api.client.call("PATCH", f"/v1/bookings/{booking_id}", body={"subject_id": "subject-c"})
    eventually(lambda: search(api).results[0].candidates[0].subject_id == "subject-c", 20)
    another = own.book(api, portrait("impostor_1.jpg"))
    assert own.settled(api, another).state == "enrolled"


@only_embedded
def test_a_photo_that_arrived_while_it_was_being_stopped_is_enrolled_after_the_next_start(own: Stack) -> None:
    own.up()
    api = own.api("lakeside-pd")
    booking_id = own.book(api, portrait("person_a_1.jpg"))
    own.stop()
    own.up()
    assert own.settled(own.api("lakeside-pd"), booking_id).state == "enrolled"


@embedded_first
def test_ctrl_c_ends_everything_and_keeps_the_gallery(own: Stack) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local", "up"],
        cwd=CHECKOUT,
        env=own.environment | {"DETACH": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    eventually(lambda: (own.root / ".candid" / "local.json").exists())
    api = own.api("lakeside-pd")
    booking_id = own.book(api, portrait("person_a_1.jpg"))
    own.settled(api, booking_id)
    pids = processes(own)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=40)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    own.up()
    assert own.api("lakeside-pd").booking(booking_id).state == "enrolled"


@only_embedded
def test_a_kill_of_the_local_aws_is_said_at_the_next_start(own: Stack) -> None:
    own.up()
    own.stop()
    own.up()
    api = own.api("lakeside-pd")
    lost = own.book(api, portrait("person_a_1.jpg"))
    own.settled(api, lost)
    os.kill(processes(own)["emulator"], signal.SIGKILL)
    told = own.up()
    assert "killed without saving" in told
    assert "The bucket holds 1 photos, the tables know 0 as enrolled, and the index holds 1 templates." in told
    assert "FRESH=1" in told
    # The record is gone, and so no search gives its template away.
    assert not search(own.api("lakeside-pd")).results[0].candidates


@only_embedded
def test_a_kill_before_anything_was_saved_starts_with_an_empty_gallery(own: Stack) -> None:
    own.up()
    os.kill(processes(own)["emulator"], signal.SIGKILL)
    assert "Starting with an empty gallery" in own.up()
    api = own.api("lakeside-pd")
    assert own.settled(api, own.book(api, portrait("person_a_1.jpg"))).state == "enrolled"


@only_opensearch
def test_a_killed_opensearch_is_a_503_until_the_next_start_which_finds_every_face(own: Stack) -> None:
    own.up()
    api = own.api("lakeside-pd")
    enrolled = own.book(api, portrait("person_a_1.jpg"))
    own.settled(api, enrolled)
    case = api.open_case("CASE-2", "criminal_investigation", "reasonable suspicion")
    os.kill(processes(own)["opensearch"], signal.SIGKILL)
    asked = {"case_id": case.case_id, "probe": text(portrait("person_a_2.jpg")), "probe_source": "other_still"}
    answer = own.ask("POST", "/v1/searches", own.tokens("lakeside-pd").token(), asked)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["detail"].startswith("Candid can't reach the index now.")
    waiting = own.book(api, portrait("impostor_1.jpg"))
    assert "found the earlier one" in own.up()
    api = own.api("lakeside-pd")
    assert own.settled(api, waiting).state == "enrolled"
    eventually(lambda: search(api).gallery_size == 2, 5)
    assert search(api).results[0].candidates[0].booking_id == enrolled


@only_opensearch
def test_a_lost_index_is_said_at_the_next_start_and_made_again_from_the_photos(own: Stack) -> None:
    own.up()
    api = own.api("lakeside-pd")
    own.settled(api, own.book(api, portrait("person_a_1.jpg")))
    own.stop()
    shutil.rmtree(next((own.root / ".candid" / "index").iterdir()))
    told = own.up()
    assert "The bucket holds 1 photos, the tables know 1 as enrolled, and the index holds 0 templates." in told
    assert "candid index verify --repair" in told
    operators = Operators("candid", own.aws("lambda"), print)
    operators.carry_out({"operation": "verify", "repair": True}, lambda _: None)
    eventually(lambda: search(own.api("lakeside-pd")).gallery_size == 1)


@only_opensearch
def test_each_index_has_a_gallery_of_its_own_and_a_stop_needs_no_word_of_it(own: Stack) -> None:
    own.up()
    api = own.api("lakeside-pd")
    booking_id = own.book(api, portrait("person_a_1.jpg"))
    own.settled(api, booking_id)
    refused = own.command("up", INDEX="embedded")
    assert refused.returncode == 1
    assert "make stop" in refused.stderr
    assert own.command("stop", INDEX="embedded").returncode == 0
    assert own.command("up", INDEX="embedded").returncode == 0
    assert not [booking for page in own.api("lakeside-pd").bookings() for booking in page]
    own.stop()
    told = own.up()
    assert "killed without saving" not in told
    assert search(own.api("lakeside-pd")).results[0].candidates[0].booking_id == booking_id


@only_opensearch
def test_an_opensearch_that_runs_already_is_used_and_fresh_empties_only_this_gallery_in_it(own: Stack) -> None:
    prefix = f"e2e-{uuid.uuid4().hex[:12]}"
    own.environment |= {"OPENSEARCH_URL": opensearch.url(MAJOR), "OPENSEARCH_PREFIX": prefix}
    beside = opensearch.lifecycle(own.environment["OPENSEARCH_URL"], f"{prefix}-other")
    beside.create("test", opensearch.card(4))
    own.up()
    assert "opensearch" not in processes(own)
    api = own.api("lakeside-pd")
    own.settled(api, own.book(api, portrait("person_a_1.jpg")))
    eventually(lambda: search(api).gallery_size == 1, 5)
    own.stop()
    ours = opensearch.lifecycle(own.environment["OPENSEARCH_URL"], prefix)
    assert ours.layouts.fresh().serving
    assert own.command("up", FRESH="1").returncode == 0
    assert search(own.api("lakeside-pd")).gallery_size == 0
    assert beside.layouts.fresh().serving
    for one in (ours, beside):
        one.client.indices.delete(index=one.names.every)


@embedded_first
def test_fresh_starts_with_an_empty_gallery(own: Stack) -> None:
    own.up()
    api = own.api("lakeside-pd")
    own.settled(api, own.book(api, portrait("person_a_1.jpg")))
    refused = own.command("up", FRESH="1")
    assert refused.returncode == 1
    assert "make stop" in refused.stderr
    own.stop()
    assert own.command("up", FRESH="1").returncode == 0
    assert not [booking for page in own.api("lakeside-pd").bookings() for booking in page]
    assert search(own.api("lakeside-pd")).gallery_size == 0


@only_embedded
def test_a_taken_port_is_one_sentence_and_nothing_is_left_running(own: Stack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", int(own.environment["CANDID_AWS_PORT"])))
        holder.listen()
        told = own.command("up")
    assert told.returncode == 1
    assert told.stderr.strip().startswith(
        f"Port {own.environment['CANDID_AWS_PORT']}, meant for the local AWS, is taken"
    )
    assert len(told.stderr.strip().splitlines()) == 1
    assert "Nothing of Candid's is running here." in own.command("stop").stdout
