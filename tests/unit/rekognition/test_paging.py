"""Pagination tokens: within what the service model allows one, and of no use in another listing."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid.rekognition import paging
from candid.rekognition.errors import UnreadableToken

NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=255)


@given(NAMES)
def test_the_place_comes_back_from_a_token_that_the_model_allows(place: str) -> None:
    token = paging.token(place, "ListCollections", "lakeside-pd")
    assert len(token) <= 255
    assert paging.place(token, paging.NAME, "ListCollections", "lakeside-pd") == place


def test_a_listing_begins_without_a_token() -> None:
    assert paging.place(None, paging.ID, "ListFaces", "lakeside-pd", "c") is None


@pytest.mark.parametrize("listing", [("ListFaces", "lakeside-pd"), ("ListCollections", "lane-county"), ()])
def test_a_token_is_of_no_use_in_another_listing(listing: tuple[str, ...]) -> None:
    token = paging.token("x", "ListCollections", "lakeside-pd")
    with pytest.raises(UnreadableToken):
        paging.place(token, paging.NAME, *listing)


@given(st.text(max_size=255))
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(UnreadableToken):
        paging.place(text, paging.NAME, "ListCollections", "lakeside-pd")


@given(st.text(max_size=200))
def test_a_place_that_somebody_made_up_is_one_of_a_places_characters_or_refused(text: str) -> None:
    mark = paging.token("x", "ListCollections", "lakeside-pd")[:-1]
    try:
        found = paging.place(mark + text, paging.NAME, "ListCollections", "lakeside-pd")
    except UnreadableToken:
        return
    assert found is not None
    assert paging.NAME.fullmatch(found)


def test_a_place_of_another_form_is_refused() -> None:
    token = paging.token("x", "ListFaces", "lakeside-pd", "c")
    with pytest.raises(UnreadableToken):
        paging.place(token, paging.ID, "ListFaces", "lakeside-pd", "c")
