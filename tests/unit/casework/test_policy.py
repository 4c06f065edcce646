"""The policy's file: what stands in it, and what is refused of one that is written wrongly."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import Any, get_args

import pytest

from candid.casework.policy import Policy, parse, policy
from candid.errors import InvalidRequest, PolicyRefusal
from search.requests import SearchMembers
from tests.contract.openapi import document

TEXT = resources.files("candid.casework").joinpath("policy.toml").read_text("utf-8")


def changed(old: str, new: str) -> Policy:
    assert TEXT.count(old) == 1, old
    return parse(TEXT.replace(old, new).encode())


def test_the_digest_is_of_the_files_very_bytes() -> None:
    assert policy().sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert policy().mark == {"version": "2026-11", "sha256": policy().sha256}
    assert parse(TEXT.encode() + b"\n").sha256 != policy().sha256


def test_the_policy_is_read_once_a_process_and_nobody_changes_it() -> None:
    assert policy() is policy()
    with pytest.raises(TypeError):
        policy().purposes["curiosity"] = policy().purposes["victim"]  # type: ignore[index]


@pytest.mark.parametrize("purpose", ["witness", "victim", "missing_person", "deceased", "incapacitated"])
def test_who_is_suspected_of_nothing_is_searched_with_an_approval_alone(purpose: str) -> None:
    with pytest.raises(PolicyRefusal) as refused:
        policy().require_purpose(purpose)
    assert refused.value.members == {"policy": f"purposes.{purpose}.needs_approval"}


def test_live_and_body_worn_sources_are_refused_with_the_law_that_forbids_them() -> None:
    for source in ("live_stream", "body_worn_camera"):
        with pytest.raises(PolicyRefusal, match=r"ORS|RCW"):
            policy().require_source(source)
    policy().require_source("surveillance_still")


def test_a_source_that_the_policy_does_not_name_is_refused() -> None:
    with pytest.raises(PolicyRefusal, match="does not name"):
        changed("other_still = { allowed = true }\n", "").require_source("other_still")


def test_policy_contract_and_requests_name_the_same_sources() -> None:
    published = document()["components"]["schemas"]["ProbeSource"]["enum"]
    assert sorted(policy().sources) == sorted(published)
    assert list(get_args(SearchMembers.model_fields["probe_source"].annotation)) == published


def test_a_list_has_as_many_candidates_as_the_policy_says() -> None:
    assert (policy().list_length(None), policy().list_length(2), policy().list_length(50)) == (20, 2, 50)
    with pytest.raises(PolicyRefusal) as refused:
        changed("cap = 50", "cap = 30").list_length(31)
    assert refused.value.members == {"policy": "list.cap"}


def test_the_loosest_threshold_is_still_allowed() -> None:
    policy().require_threshold(1e-2)
    policy().require_threshold(None)
    with pytest.raises(PolicyRefusal):
        policy().require_threshold(1.001e-2)


def test_every_face_of_a_probe_is_searched_only_where_the_policy_says_so() -> None:
    with pytest.raises(PolicyRefusal, match="bystanders"):
        policy().require_all_faces()
    changed("all = false", "all = true").require_all_faces()


def test_a_purpose_that_the_policy_has_lost_since_is_refused_by_the_policy_and_not_as_a_slip() -> None:
    later = changed('wanted_person = { title = "Person named in a warrant" }\n', "")
    with pytest.raises(InvalidRequest):
        later.require_purpose("wanted_person")
    with pytest.raises(PolicyRefusal, match="any more") as refused:
        later.require_purpose_still("wanted_person")
    assert refused.value.members == {"policy": "purposes"}


WRONG: list[tuple[str, str, str]] = [
    (
        'live_stream = { allowed = false, why = "',
        'live_stream = { allowed = "false", why = "',
        "probe_sources.live_stream",
    ),
    ("all = false", 'all = "false"', "faces.all"),
    ("all = false", "all = 0", "faces.all"),
    ('"Identify a witness", needs_approval = true', '"Identify a witness", needs_aproval = true', "purposes.witness"),
    ('title = "Identify a victim", needs_approval = true', "needs_approval = true", "purposes.victim.title"),
    ('why = "The model compares photographs; nobody has measured it on sketches."', 'why = ""', "sources.sketch"),
    ('version = "2026-11"', "version = 2026", "version"),
    ('version = "2026-11"', 'version = ""', "version"),
    ("cap = 50", "cap = 51", "list.cap"),
    ("default = 20", "default = 1", "list.default"),
    ("cap = 50", "cap = 10", "list: "),
    ("default = 20", "default = 20.0", "list.default"),
    ("\nfmr = 1e-4", "\nfmr = 0.0", "threshold.fmr"),
    ("\nfmr = 1e-4", "\nfmr = nan", "threshold.fmr"),
    ("loosest_fmr = 1e-2", "loosest_fmr = 1e-5", "threshold: "),
    ("expected_false_candidates = 1.0", "expected_false_candidates = 0", "threshold.expected_false_candidates"),
    ("expected_false_candidates = 1.0", "expected_false_candidates = inf", "threshold.expected_false_candidates"),
    ("[faces]", "[face]", "faces"),
    ("[faces]", "[live]\nallowed = true\n[faces]", "live"),
    ("[purposes]", "[purposes", "TOML"),
]


@pytest.mark.parametrize(("old", "new", "named"), WRONG)
def test_a_policy_that_could_be_read_loosely_is_no_policy_and_says_where(old: str, new: str, named: str) -> None:
    with pytest.raises(ValueError, match=rf"policy\.toml.*{re.escape(named)}"):
        changed(old, new)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"version = '1'"])
def test_a_file_that_is_no_policy_is_refused_in_a_sentence(data: Any) -> None:
    with pytest.raises(ValueError, match=r"^policy\.toml is not"):
        parse(data)
