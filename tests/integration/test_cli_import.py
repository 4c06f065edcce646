"""``candid import`` in a process of its own, against a server that speaks the contract over real sockets."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.running import candid, interrupted
from tests.unit.cli.server import World, local_file, serving

pytestmark = pytest.mark.slow
AGENCY = ("--agency", "washington-county")
JPEG = b"\xff\xd8\xff\xe0 "


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A server, and a folder whose .candid/local.json names it."""
    with serving() as served:
        local_file(tmp_path, served)
        yield served


def photo(folder: Path, name: str, content: bytes | None = None) -> Path:
    """A file that begins as a JPEG does; unlike all others unless ``content`` is given."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(JPEG + (content if content is not None else str(path).encode()))
    return path


def manifest(folder: Path, *rows: str, header: str = "path,booking_number,subject_id,booked_at") -> Path:
    """A manifest with these lines."""
    path = folder / "bookings.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def numbered(folder: Path, count: int) -> Path:
    """A manifest of ``count`` bookings with a photo each."""
    rows = []
    for at in range(count):
        photo(folder, f"{at}.jpg")
        rows.append(f"{at}.jpg,B-{at},S-{at},2024-01-{at % 28 + 1:02}")
    return manifest(folder, *rows)


def test_every_photo_of_a_manifest_is_enrolled_or_rejected_with_its_reason(world: World, tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    photo(tmp_path, "deep/b.jpg")
    photo(tmp_path, "c.jpg", b"noface")
    path = manifest(
        tmp_path,
        "a.jpg,24-1,anna,2024-05-06T10:00:00-07:00,frontal,T. Smith",
        "deep/b.jpg,24-1,anna,2024-05-06T10:00:00-07:00,left_profile,",
        "c.jpg,24-2,bert,2024-05-07,,",
        header="Path,Booking Number,SUBJECT_ID,booked_at,view,Arresting Officer",
    )
    ran = candid("import", path, *AGENCY, "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["uploaded"] == 3
    assert ran.json["enrolled"] == 2
    assert ran.json["rejected"] == {"NO_FACE": 1}
    first = world.bookings[world.numbers["washington-county", "bookings", "24-1"]]
    assert first["fields"] == {"arresting_officer": "T. Smith"}
    assert [one["view"] for one in first["photos"].values()] == ["frontal", "left_profile"]
    assert first["booked_at"] == "2024-05-06T10:00:00-07:00"
    second = world.bookings[world.numbers["washington-county", "bookings", "24-2"]]
    assert second["booked_at"] == "2024-05-07T00:00:00+00:00"


def test_a_second_import_uploads_nothing_and_says_so(world: World, tmp_path: Path) -> None:
    path = numbered(tmp_path, 30)
    assert candid("import", path, *AGENCY, cwd=tmp_path).code == 0
    ran = candid("import", path, *AGENCY, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["uploaded"], ran.json["already_there"], ran.json["enrolled"]) == (0, 0, 30, 30)
    assert set(world.uploads.values()) == {1}


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(world: World, tmp_path: Path) -> None:
    path = numbered(tmp_path, 120)
    world.upload_takes = 0.1
    ran = interrupted("import", path, *AGENCY, "--json", cwd=tmp_path, once=lambda: world.uploads.total() >= 20)
    assert ran.code == 130
    assert "Run the same command again to go on" in ran.err
    assert ran.json["interrupted"]
    before = world.uploads.total()
    assert 20 <= ran.json["uploaded"] == before < 120
    world.upload_takes = 0.0
    again = candid("import", path, *AGENCY, "--json", cwd=tmp_path)
    assert (again.code, again.json["enrolled"], again.json["failed"]) == (0, 120, 0)
    assert again.json["uploaded"] == 120 - before
    assert set(world.uploads.values()) == {1}


def test_a_server_without_time_is_asked_again_when_it_said(world: World, tmp_path: Path) -> None:
    path = numbered(tmp_path, 3)
    world.fail("POST /v1/bookings:batch", 503, times=2, Retry_After="1")
    world.fail("POST /upload/", 503, times=1)
    world.fail("GET /v1/bookings", 429, times=1, Retry_After="0")
    ran = candid("import", path, *AGENCY, "--workers", "1", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["enrolled"]) == (0, 3)
    assert ran.json["seconds"] >= 2


def test_a_link_that_has_ended_is_replaced_by_a_fresh_one(world: World, tmp_path: Path) -> None:
    path = numbered(tmp_path, 5)
    world.expired_links = 3
    ran = candid("import", path, *AGENCY, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["uploaded"], ran.json["enrolled"]) == (0, 5, 5)
    assert world.asked["POST /v1/bookings/{id}/photos"] == 3


def test_a_link_that_never_works_fails_its_photo_alone(world: World, tmp_path: Path) -> None:
    path = numbered(tmp_path, 3)
    world.fail("POST /upload/", 403, times=2)
    ran = candid("import", path, *AGENCY, "--workers", "1", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["uploaded"], ran.json["failed"]) == (1, 2, 1)
    assert "did not take the file" in ran.json["failures"][0]["sentence"]


def test_bad_rows_are_told_by_line_and_the_rest_goes_on(world: World, tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    photo(tmp_path, "b.jpg")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    path = manifest(
        tmp_path,
        "a.jpg,1,s,2024-01-01",
        "gone.jpg,2,s,2024-01-01",
        "a.jpg,3,s,03/04/2024",
        "",
        "a.jpg,,s,2024-01-01",
        "b.jpg,1,another,2024-01-01",
        "a.jpg,4,s,2024-01-01,too,many",
        "notes.txt,5,s,2024-01-01",
        "empty.jpg,6,s,2024-01-01",
        "b.jpg,7,s,2024-01-01",
        "b.jpg,8,s,1850-01-01",
    )
    ran = candid("import", path, *AGENCY, "--json", cwd=tmp_path)
    assert ran.code == 1
    assert (ran.json["enrolled"], ran.json["failed"], ran.json["bad_rows"]) == (2, 3, 5)
    told = {one["where"]: one["sentence"] for one in ran.json["failures"]}
    assert "no such file" in told["line 3"]
    assert "2026-03-31" in told["line 4"]
    assert "booking_number is missing" in told["line 6"]
    assert "another subject" in told["line 7"]
    assert "6 cells and the header has 4" in told["line 8"]
    assert "no image" in told["line 9"]
    assert "empty" in told["line 10"]
    assert "before 1900" in told["line 12"]
    assert all(where in ran.err for where in told)


def test_a_photo_of_another_subject_never_joins_a_booking_that_is_there(world: World, tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    assert candid("import", manifest(tmp_path, "a.jpg,1,anna,2024-01-01"), *AGENCY, cwd=tmp_path).code == 0
    photo(tmp_path, "b.jpg")
    ran = candid("import", manifest(tmp_path, "b.jpg,1,bert,2024-01-01"), *AGENCY, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["uploaded"], ran.json["failed"]) == (1, 0, 1)
    assert "another subject" in ran.json["failures"][0]["sentence"]


def test_rows_of_one_booking_may_lie_apart(world: World, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        photo(tmp_path, f"{name}.jpg")
    rows = ("a.jpg,1,anna,2024-01-01", "b.jpg,2,bert,2024-01-01", "c.jpg,1,anna,2024-01-01", "c.jpg,1,anna,2024-01-01")
    ran = candid("import", manifest(tmp_path, *rows), *AGENCY, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["uploaded"], ran.json["already_there"], ran.json["enrolled"]) == (0, 3, 1, 4)
    booking = world.bookings[world.numbers["washington-county", "bookings", "1"]]
    assert len(booking["photos"]) == 2


def test_a_folder_is_read_by_its_names(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    photo(folder, "Anna_B/24-7.jpg")
    photo(folder, "24-8.png")
    photo(folder, ".hidden.jpg")
    (folder / "CREDITS.md").write_text("x")
    ran = candid("import", folder, *AGENCY, "--booked-at", "2024-05-06", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["total"], ran.json["enrolled"]) == (0, 2, 2)
    told = {one["booking_number"]: one["subject_id"] for one in world.bookings.values()}
    assert told == {"24-7": "Anna_B", "24-8": "24-8"}


def test_a_photo_that_is_too_large_is_not_sent(world: World, tmp_path: Path) -> None:
    world.max_bytes = 20
    ran = candid("import", numbered(tmp_path, 2), *AGENCY, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["failed"], world.uploads.total()) == (1, 2, 0)
    assert "at most" in ran.json["failures"][0]["sentence"]


def test_waiting_ends_when_nothing_is_enrolled_any_more(world: World, tmp_path: Path) -> None:
    world.enrol_after = 1000
    ran = candid("import", numbered(tmp_path, 4), *AGENCY, "--patience", "1", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["uploaded"], ran.json["waiting"]) == (1, 4, 4)
    assert "Nothing is lost" in ran.err


def test_without_waiting_an_import_ends_with_the_last_upload(world: World, tmp_path: Path) -> None:
    world.enrol_after = 1000
    ran = candid("import", numbered(tmp_path, 4), *AGENCY, "--no-wait", "--json", cwd=tmp_path)
    assert (ran.code, ran.json["uploaded"], ran.json["waiting"]) == (0, 4, 0)
    assert world.asked["GET /v1/bookings"] == 0


def test_an_import_of_one_agency_with_a_token_of_another_is_refused(world: World, tmp_path: Path) -> None:
    token = candid("token", "--agency", "hood-river", "--role", "records", cwd=tmp_path).out.strip()
    ran = candid("import", numbered(tmp_path, 1), *AGENCY, cwd=tmp_path, env={"CANDID_TOKEN": token})
    assert ran.code == 1
    assert "hood-river's, and you asked for washington-county" in ran.err
    assert not world.bookings


def test_a_token_that_is_refused_stops_the_import_at_once(world: World, tmp_path: Path) -> None:
    env = {"CANDID_URL": world.url, "CANDID_TOKEN": "nonsense"}
    ran = candid("import", numbered(tmp_path, 40), "--json", cwd=tmp_path, env=env)
    assert ran.code == 1
    assert "The token is not valid here" in ran.json["stopped_by"]
    assert world.asked["POST /v1/bookings:batch"] <= 16


def test_nobody_at_the_address_is_one_sentence(tmp_path: Path) -> None:
    with serving() as gone:
        local_file(tmp_path, gone)
    ran = candid("status", *AGENCY, "--json", cwd=tmp_path)
    assert ran.code == 1
    assert "make run" in ran.err
    assert ran.json["api"]["answers"] is False


def test_four_thousand_rows_are_streamed_over_few_connections(world: World, tmp_path: Path) -> None:
    photo(tmp_path, "same.jpg")
    path = manifest(tmp_path, *(f"same.jpg,B-{at},S-{at},2024-01-01" for at in range(4_000)))
    ran = candid("import", path, *AGENCY, "--workers", "8", "--json", cwd=tmp_path, weighed=True)
    assert (ran.code, ran.json["enrolled"]) == (0, 4_000), ran.err[-2000:]
    assert ran.peak_kilobytes < 90_000, "the interpreter and its libraries take about 55,000 of these"
    assert world.connections < 40
    asked = world.asked["GET /v1/bookings"] + world.asked["GET /v1/bookings/{id}"]
    # Waiting asks at intervals, so a slow machine asks more often; one request a photo would be 4,000 at least.
    assert asked < 3_000, "waiting takes fewer requests than photos"


def test_a_report_says_what_became_of_each_photo(world: World, tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    photo(tmp_path, "b.jpg", b"noface")
    path = manifest(tmp_path, "a.jpg,=1+1,s,2024-01-01", "b.jpg,2,s,2024-01-01", "c.jpg,3,s,2024-01-01")
    candid("import", path, *AGENCY, "--report", "out.csv", cwd=tmp_path)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = {row["where"]: row for row in csv.DictReader(file)}
    assert [rows[f"line {at}"]["outcome"] for at in (2, 3, 4)] == ["enrolled", "rejected", "failed"]
    assert rows["line 3"]["reason"] == "NO_FACE"
    assert rows["line 2"]["booking_number"] == "'=1+1", "a spreadsheet must not run it"


def test_a_manifest_without_its_columns_is_one_sentence(world: World, tmp_path: Path) -> None:
    ran = candid("import", manifest(tmp_path, "a,b", header="file,number"), *AGENCY, cwd=tmp_path)
    assert ran.code == 1
    assert "no column path, booking_number, subject_id, booked_at" in ran.err
