"""A drop's metadata as a booking's members: what is taken, what is refused, and that nothing of it is ever quoted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid.gallery.adoption import DropFields, read_fields
from candid.gallery.booking import View
from candid.gallery.outcome import Rejection

GOOD = {"booking-number": "2026-000123", "subject-id": "S-77", "booked-at": "2026-03-01T10:00:00-08:00"}


def test_complete_metadata_is_a_booking_with_the_rest_as_its_own_fields() -> None:
    assert read_fields(GOOD | {"view": "right_profile", "unit": "7"}) == DropFields(
        "2026-000123", "S-77", datetime(2026, 3, 1, 18, tzinfo=UTC), View.RIGHT_PROFILE, {"unit": "7"}
    )


def test_all_missing_fields_are_named_at_once() -> None:
    told = read_fields({})
    assert isinstance(told, Rejection)
    assert "booking-number, subject-id and booked-at" in told.sentence


@pytest.mark.parametrize("words", ["=?UTF-8?B?SsO8cmdlbg==?=", "=?UTF-8?Q?J=C3=BCrgen?=", "=?iso-8859-1?q?J=FCrgen?="])
def test_encoded_words_of_rfc_2047_are_decoded(words: str) -> None:
    told = read_fields(GOOD | {"subject-id": words})
    assert isinstance(told, DropFields)
    assert told.subject_id == "Jürgen"


def test_text_that_only_looks_like_an_encoded_word_is_kept() -> None:
    told = read_fields(GOOD | {"note": "what=?unknown"})
    assert isinstance(told, DropFields)
    assert told.fields == {"note": "what=?unknown"}


def test_more_than_32_own_fields_are_too_many() -> None:
    assert isinstance(read_fields(GOOD | {f"f{i}": "x" for i in range(32)}), DropFields)
    told = read_fields(GOOD | {f"f{i}": "x" for i in range(33)})
    assert isinstance(told, Rejection)
    assert told.reason == "METADATA_INVALID"


@given(st.dictionaries(st.sampled_from([*GOOD, "view", "own"]), st.text(max_size=200)))
def test_whatever_the_metadata_holds_is_taken_or_refused_in_a_sentence(metadata: dict[str, str]) -> None:
    told = read_fields(metadata)
    if isinstance(told, Rejection):
        assert told.reason in {"METADATA_MISSING", "METADATA_INVALID"}
        assert told.sentence.endswith(".")
    else:
        assert 1 <= len(told.booking_number) <= 128
        assert told.booked_at.tzinfo is not None


@given(st.text(min_size=20, max_size=60, alphabet="qxzwvj"))
def test_a_refusal_never_quotes_what_was_sent(secret: str) -> None:
    for name in ("booked-at", "view"):
        told = read_fields(GOOD | {name: secret})
        assert isinstance(told, Rejection)
        assert secret not in told.sentence
