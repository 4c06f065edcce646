"""Every command beside ``import``, against a server that speaks the contract over real sockets."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.running import Ran, candid, environment
from tests.unit.cli.server import NOTICE, World, candidate, local_file, serving

AGENCY = ("--agency", "washington-county")
OPEN = ("case", "open", "26-4410", "--purpose", "criminal_investigation", "--legal-basis", "warrant 26-W-118", *AGENCY)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A server, and a folder whose .candid/local.json names it."""
    with serving() as served:
        local_file(tmp_path, served)
        yield served


def probe(folder: Path, content: bytes = b"one face") -> Path:
    path = folder / "still.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + content)
    return path


def search(folder: Path, *more: str, content: bytes = b"one face") -> Ran:
    image = probe(folder, content)
    return candid("search", image, "--case", "26-4410", "--source", "surveillance_still", *AGENCY, *more, cwd=folder)


def test_candidates_are_a_table_that_says_how_little_they_prove(world: World, tmp_path: Path) -> None:
    candid(*OPEN, cwd=tmp_path)
    world.candidates = [candidate(1, "[red]Ann[/red]", 8.3e-5), candidate(2, "Bert", 0.02)]
    ran = search(tmp_path)
    assert ran.code == 0
    assert "[red]Ann[/red]" in ran.out, "what comes from outside is never markup"
    for said in ("1 in 12,000 strangers", "0.17", "24-0001", "2024-05-06", "2,006 faces", NOTICE):
        assert said in ran.out
    assert "%" not in ran.out


def test_an_empty_list_says_so_and_still_gives_the_notice(world: World, tmp_path: Path) -> None:
    candid(*OPEN, cwd=tmp_path)
    ran = search(tmp_path)
    assert ran.code == 0
    assert "No candidate above the threshold." in ran.out
    assert NOTICE in ran.out


def test_a_search_of_another_agencys_collection_says_whose_it_is(world: World, tmp_path: Path) -> None:
    candid(*OPEN, cwd=tmp_path)
    ran = search(tmp_path, "--of", "lane-county", "--json")
    assert world.searches[-1]["filters"] == {"agency": "lane-county"}
    assert ran.json["gallery_agency"] == "lane-county"
    assert "of bookings of lane-county (every one compared)" in search(tmp_path, "--of", "lane-county").out
    assert "of bookings (every one compared)" in search(tmp_path).out


def test_a_collection_is_shared_listed_and_taken_back(world: World, tmp_path: Path) -> None:
    assert "shares no collection" in candid("share", "list", *AGENCY, cwd=tmp_path).out
    granted = candid(
        *("share", "grant", "bookings", "--to", "lane-county", "--legal-basis", "ORS 190.010", *AGENCY, "--json"),
        cwd=tmp_path,
    )
    assert granted.code == 0
    received = candid("share", "list", "--received", "--agency", "lane-county", cwd=tmp_path)
    for said in ("bookings", "washington-county", "in force", "ORS 190.010"):
        assert said in received.out
    ended = candid("share", "revoke", granted.json["share_id"], *AGENCY, cwd=tmp_path)
    assert "revoked" in ended.out
    assert "by chief" in ended.out
    assert candid("share", "list", *AGENCY, "--json", cwd=tmp_path).json["shares"][0]["state"] == "revoked"
    unknown = candid("share", "revoke", "no-such-share", *AGENCY, cwd=tmp_path)
    assert (unknown.code, "no such share" in unknown.err) == (1, True)


def test_a_place_is_added_listed_and_removed(world: World, tmp_path: Path) -> None:
    assert "registered no place" in candid("place", "list", *AGENCY, cwd=tmp_path).out
    added = candid("place", "add", "s3://lakeside-photos/booking/", *AGENCY, cwd=tmp_path)
    assert "s3://lakeside-photos/booking/candid-agency.txt holds your agency's name" in " ".join(added.out.split())
    [place] = candid("place", "list", *AGENCY, "--json", cwd=tmp_path).json["places"]
    assert (place["bucket"], place["prefix"]) == ("lakeside-photos", "booking/")
    assert candid("place", "add", "s3://lakeside-photos", *AGENCY, "--json", cwd=tmp_path).json["prefix"] == ""
    removed = candid("place", "remove", "s3://lakeside-photos/booking/", *AGENCY, cwd=tmp_path)
    assert "is still read, by way of s3://lakeside-photos/" in removed.out
    removed = candid("place", "remove", "s3://lakeside-photos", *AGENCY, cwd=tmp_path)
    assert "Nothing is read from s3://lakeside-photos/ any more" in removed.out
    for unknown in (place["place_id"], "s3://lakeside-photos/booking/"):
        refused = candid("place", "remove", unknown, *AGENCY, cwd=tmp_path)
        assert (refused.code, "no such place" in refused.err) == (1, True)
    refused = candid("place", "add", "s3://lakeside-photos/booking", *AGENCY, cwd=tmp_path)
    assert (refused.code, "did you mean s3://lakeside-photos/booking/?" in refused.err) == (2, True)
    for wrong in ("lakeside-photos/booking/", "https://lakeside-photos/", "s3:///booking/", "s3://a/b/?c"):
        refused = candid("place", "add", wrong, *AGENCY, cwd=tmp_path)
        assert (refused.code, "s3://BUCKET/PREFIX/" in refused.err) == (2, True)


def test_all_options_of_a_search_reach_the_server(world: World, tmp_path: Path) -> None:
    candid(*OPEN, cwd=tmp_path)
    more = ["--fmr", "0.001", "--max", "5", "--face", "1", "--collection", "cold", "--all-photos"]
    ran = search(tmp_path, *more, "--booked-from", "2020-01-01", "--booked-before", "2024-01-01")
    assert ran.code == 0, ran.err
    [asked] = world.searches
    assert asked.pop("probe")
    assert asked.pop("case_id")
    assert asked == {
        "probe_source": "surveillance_still",
        "threshold": {"fmr": 0.001},
        "max_candidates": 5,
        "face": 1,
        "collection": "cold",
        "per_subject": False,
        "filters": {"booked_from": "2020-01-01T00:00:00Z", "booked_before": "2024-01-01T00:00:00Z"},
    }


def test_a_large_probe_goes_by_an_upload(world: World, tmp_path: Path) -> None:
    candid(*OPEN, cwd=tmp_path)
    assert search(tmp_path, content=b"x" * 4_500_000).code == 0
    [asked] = world.searches
    assert "probe" not in asked
    assert world.probes == {asked["probe_id"]: 4_500_004}


def test_several_faces_are_listed_with_what_to_do(world: World, tmp_path: Path) -> None:
    candid(*OPEN, cwd=tmp_path)
    ran = search(tmp_path, "--json", content=b"several")
    assert ran.code == 1
    assert "--face largest" in ran.err
    assert "96 × 124 at 40, 61" in ran.err
    assert len(ran.json["error"]["faces"]) == 2
    assert search(tmp_path, "--face", "largest", content=b"several").code == 0


def test_a_search_under_a_case_that_is_not_there_is_one_sentence(world: World, tmp_path: Path) -> None:
    ran = search(tmp_path)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "There is no case of that number" in ran.err


def test_a_case_lives_by_its_number(world: World, tmp_path: Path) -> None:
    opened = candid(*OPEN, "--json", cwd=tmp_path)
    assert opened.json["state"] == "open"
    assert "warrant 26-W-118" in candid("case", "show", "26-4410", *AGENCY, cwd=tmp_path).out
    assert candid("case", "close", "26-4410", *AGENCY, "--json", cwd=tmp_path).json["state"] == "closed"
    assert candid("case", "list", "--state", "open", *AGENCY, "--json", cwd=tmp_path).json["cases"] == []
    assert "26-4410" in candid("case", "list", *AGENCY, cwd=tmp_path).out


def test_a_refusal_of_the_policy_is_its_own_sentence(world: World, tmp_path: Path) -> None:
    ran = candid("case", "open", "1", "--purpose", "witness", "--legal-basis", "x", *AGENCY, "--json", cwd=tmp_path)
    assert ran.code == 1
    assert ran.err == "A search for a witness needs a supervisor's approval.\n"
    assert ran.json["error"]["status"] == 403


def test_a_comparison_says_a_rate_and_not_a_percentage(world: World, tmp_path: Path) -> None:
    image = probe(tmp_path)
    ran = candid("compare", image, image, *AGENCY, cwd=tmp_path)
    assert ran.code == 0
    assert "1 in 1,900,000 strangers" in ran.out
    assert "beyond what was measured" in ran.out
    assert NOTICE in ran.out


def test_a_detection_says_what_would_keep_a_face_out(world: World, tmp_path: Path) -> None:
    ran = candid("detect", probe(tmp_path), *AGENCY, cwd=tmp_path)
    assert "no: LOW_SHARPNESS" in ran.out
    assert "The face is too blurred." in ran.out
    assert "No face was found" in candid("detect", probe(tmp_path, b"noface"), *AGENCY, cwd=tmp_path).out


def test_status_counts_by_state_and_shows_one_booking(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    probe(folder).rename(folder / "24-1.jpg")
    probe(folder, b"noface").rename(folder / "24-2.jpg")
    candid("import", folder, *AGENCY, cwd=tmp_path)
    told = candid("status", *AGENCY, "--json", cwd=tmp_path)
    assert told.json["bookings"]["enrolled"] == {"count": 1, "more": False}
    assert told.json["bookings"]["rejected"] == {"count": 1, "more": False}
    assert told.json["rekognition"] == {"url": world.url, "answers": True}
    one = candid("status", "24-2", *AGENCY, cwd=tmp_path)
    assert "NO_FACE: No face was found." in one.out
    missing = candid("status", "24-3", *AGENCY, cwd=tmp_path)
    assert (missing.code, missing.out) == (1, "")


def test_a_token_is_alone_on_stdout(world: World, tmp_path: Path) -> None:
    ran = candid("token", *AGENCY, "--role", "records", "--role", "auditor", "--user", "clerk.1", cwd=tmp_path)
    assert ran.code == 0
    assert ran.out.count(".") == 2
    assert ran.out.count("\n") == 1
    asked = candid("status", "--json", cwd=tmp_path, env={"CANDID_TOKEN": ran.out.strip()})
    assert asked.json["agency"] == "washington-county"


@pytest.mark.parametrize(
    "wrong",
    [
        ["serach"],
        ["search", "x.jpg", "--case", "1", "--source", "selfie"],
        ["search", "x.jpg", "--case", "1", "--source", "sketch", "--fmr", "0.1", "--similarity", "9"],
        ["search", "x.jpg", "--case", "1", "--source", "sketch", "--fmr", "0"],
        ["search", "x.jpg", "--case", "1", "--source", "sketch", "--face", "big"],
        ["search", "x.jpg", "--case", "1", "--source", "sketch", "--booked-from", "3/4/2024"],
        ["import", "nowhere", "--agency", "washington-county"],
        ["import", ".", "--agency", "washington-county", "--booked-at", "yesterday"],
        ["import", ".", "--agency", "washington-county", "--timezone", "Mars/Olympus"],
        ["case", "open", "1"],
        ["token", "--role", "king"],
    ],
)
def test_wrong_use_ends_with_2_and_points_to_help(world: World, tmp_path: Path, wrong: list[str]) -> None:
    ran = candid(*wrong, "--json", cwd=tmp_path)
    assert ran.code == 2
    assert "-h' for help" in ran.err
    assert ran.json["error"]["usage"] is True


def test_a_file_that_is_not_there_is_one_sentence(world: World, tmp_path: Path) -> None:
    ran = candid("detect", "gone.jpg", *AGENCY, cwd=tmp_path)
    assert (ran.code, ran.err) == (1, "gone.jpg can't be read: no such file or directory. Check the path.\n")


def test_the_doctor_speaks_in_sentences_and_its_verdict_is_the_exit_code(tmp_path: Path) -> None:
    ran = candid("doctor", "--json", cwd=tmp_path, env={"CANDID_MODELS": str(tmp_path)})
    assert ran.code == 1
    assert ran.json["ready"] is False
    told = {check["name"]: check for check in ran.json["checks"]}
    assert told["Model weights"]["verdict"] == "missing"
    assert "make run" in told["Model weights"]["sentence"]
    assert all(check["sentence"].endswith(".") for check in ran.json["checks"])


@pytest.mark.parametrize("plain", ["", "1"])
def test_no_color_is_honoured_on_a_terminal(world: World, tmp_path: Path, plain: str) -> None:
    ours, theirs = pty.openpty()
    env = environment({"TERM": "xterm-256color"} | ({"NO_COLOR": plain} if plain else {}))
    command = [sys.executable, "-c", "from candid.cli.main import run; run()", "doctor"]
    subprocess.run(command, cwd=tmp_path, env=env, stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    said = os.read(ours, 65_536).decode()
    assert ("\x1b[33m" in said or "\x1b[1;31m" in said) == (not plain)


def test_a_version_is_one_line(tmp_path: Path) -> None:
    assert candid("--version", cwd=tmp_path).out.startswith("candid ")
    assert "version" in json.loads(candid("--version", "--json", cwd=tmp_path).out)
