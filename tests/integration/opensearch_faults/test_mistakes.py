"""Indexes as no Candid leaves them, by an operator's hand or another program's: every call fails with a sentence that says what
is wrong, and none takes a wrong index for an empty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from candid.gallery.indexes import OpenSearchIndexes
from candid.gallery.opensearch.client import IndexNotReady
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.lifecycle import Size
from candid.gallery.opensearch.names import Names
from tests import opensearch
from tests.contract.vector_index import DAY, unit
from tests.integration.opensearch_faults.gallery import BOOKINGS, DIMENSION, Gallery, gallery
from tests.portraits import engine

pytestmark = pytest.mark.slow

SIZE = Size(1, 0)
NOT_MAPPED = "is not mapped as Candid maps it, and would not find everybody."


def _every_call(index: OpenSearchIndex, here: Gallery) -> list[Callable[[], Any]]:
    one = here.entry(1)
    return [
        lambda: index.search([BOOKINGS], one.template, 5),
        lambda: index.upsert([one]),
        lambda: index.get(BOOKINGS, [one.id]),
        lambda: index.relabel(BOOKINGS, [one.id], subject_id="s", booked_at=DAY),
        lambda: index.delete(BOOKINGS, [one.id]),
        lambda: index.count(BOOKINGS),
        lambda: index.scan(None, 10),
        lambda: index.drop(BOOKINGS),
    ]


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for name in path[:-1]:
            body = body[name]
        del body[path[-1]]

    return change


def _with(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for name in path[:-1]:
            body = body[name]
        body[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _with(DIMENSION // 2, "mappings", "properties", "template", "dimension"),
        _with({"type": "float"}, "mappings", "properties", "template"),
        _with(False, "mappings", "properties", "template", "store"),
        _with({"type": "text"}, "mappings", "properties", "partition"),
        _with({"type": "keyword"}, "mappings", "properties", "booked_us"),
        _without("mappings", "properties"),
    ],
    ids=[
        "another dimension",
        "no vectors",
        "vectors that can't be read",
        "words for keys",
        "words for times",
        "nothing",
    ],
)
def test_an_index_with_another_mapping_is_refused_by_every_call(
    major: int, change: Callable[[dict[str, Any]], None]
) -> None:
    with gallery(opensearch.url(major)) as here:
        name, client = here.index.name, here.lifecycle.client
        [made] = client.indices.get(index=name).values()
        body = {"mappings": made["mappings"], "aliases": made["aliases"], "settings": {"index": {"knn": True}}}
        change(body)
        client.indices.delete(index=name)
        client.indices.create(index=name, body=body)
        # As a function sees it that starts now; one that has searched within the last seconds goes by what it saw then.
        index = replace(here.index, layouts=Layouts(client, here.lifecycle.names))
        for call in _every_call(index, here):
            assert isinstance(here.refused(call, NOT_MAPPED, within=1), IndexNotReady)
        here.refused(here.lifecycle.layouts.fresh().the_serving, NOT_MAPPED, within=1)
        # It can be dropped where it does not serve: the way out of it.
        client.indices.delete_alias(index=name, name=here.lifecycle.names.serving)
        here.lifecycle.drop(name)


def test_an_index_that_candid_did_not_make_is_never_taken_for_its_own(major: int) -> None:
    lifecycle = opensearch.lifecycle(opensearch.url(major))
    name, card = lifecycle.names.generation("test-model", 1), opensearch.card(DIMENSION)
    lifecycle.client.indices.create(index=name, body={"aliases": {lifecycle.names.serving: {}}})
    with pytest.raises(IndexNotReady, match="No index serves yet"):
        lifecycle.layouts.fresh().the_serving()
    with pytest.raises(IndexNotReady, match=f"There is an index called {name} that Candid did not make"):
        lifecycle.create("test", card, SIZE)
    lifecycle.client.indices.delete(index=name)
    assert lifecycle.create("test", card, SIZE)[0].name == name
    lifecycle.client.indices.delete(index=name)


def test_an_alias_that_points_nowhere_or_to_two_indexes_stops_searches_and_makes_no_empty_index(major: int) -> None:
    with gallery(opensearch.url(major)) as here:
        lifecycle, card = here.lifecycle, opensearch.card(DIMENSION)
        client, names, layouts = lifecycle.client, lifecycle.names, lifecycle.layouts
        [face] = here.enrol(1)
        indexes = OpenSearchIndexes(layouts, lambda _: engine(), "sface")
        client.indices.delete_alias(index=here.index.name, name=names.serving)
        lost = "No index serves, though there are some"
        for call in (
            layouts.fresh().the_serving,
            indexes.written,
            # A new index would serve, empty, and every search would miss everybody.
            lambda: lifecycle.create("test", card, SIZE),
            lambda: lifecycle.stand_by("test", card, SIZE),
        ):
            here.refused(call, lost, within=1)
        assert list(layouts.fresh().generations) == [here.index.name]
        # What is erased is erased from it all the same.
        assert indexes.holds(BOOKINGS, [face.id])
        indexes.erase(BOOKINGS, [face.id])
        assert not indexes.holds(BOOKINGS, [face.id])

        client.indices.put_alias(index=here.index.name, name=names.serving)
        second, made = lifecycle.stand_by("test", card, SIZE)
        assert made
        client.indices.put_alias(index=second.name, name=names.serving)
        for call in (
            layouts.fresh().the_serving,
            indexes.written,
            lambda: lifecycle.create("test", card, SIZE),
            lambda: lifecycle.swap(second.name),
        ):
            here.refused(call, f"The alias {names.serving} is on more than one index.", within=1)
        client.indices.delete_alias(index=second.name, name=names.serving)
        assert layouts.fresh().the_serving().name == here.index.name


def test_an_erasure_is_not_over_because_no_index_is_found(major: int) -> None:
    """A mistaken prefix, or a cluster that knows its indexes only later: nothing is listed, and nothing is proved by it."""
    with gallery(opensearch.url(major)) as here:
        [face] = here.enrol(1)
        elsewhere = Layouts(here.lifecycle.client, Names(f"{here.lifecycle.names.prefix}-elsewhere"))
        indexes = OpenSearchIndexes(elsewhere, lambda _: engine(), "sface")
        for call in (lambda: indexes.erase(BOOKINGS, [face.id]), lambda: indexes.holds(BOOKINGS, [face.id])):
            here.refused(call, "No index serves yet, or OpenSearch is only starting.", within=1)


def test_a_closed_index_is_neither_searched_nor_forgotten(major: int) -> None:
    with gallery(opensearch.url(major)) as here:
        [face] = here.enrol(1)
        here.index.search([BOOKINGS], face.template, 1)
        here.lifecycle.client.indices.close(index=here.index.name)
        closed = "An index of Candid's is closed. Open it"
        for call in _every_call(here.index, here):
            here.refused(call, closed, within=1)
        # It may be opened again, so what is to be erased must be erased there too.
        indexes = OpenSearchIndexes(here.lifecycle.layouts, lambda _: engine(), "sface")
        here.refused(lambda: indexes.erase(BOOKINGS, [face.id]), closed, within=1)
        here.refused(lambda: indexes.holds(BOOKINGS, [face.id]), closed, within=1)
        assert not here.lifecycle.create("test", opensearch.card(DIMENSION), SIZE)[1]
        here.lifecycle.client.indices.open(index=here.index.name)
        assert indexes.holds(BOOKINGS, [face.id])


def test_an_index_that_is_gone_is_missed_at_once(major: int) -> None:
    with gallery(opensearch.url(major)) as here:
        here.enrol(1)
        here.index.search([BOOKINGS], unit(1, DIMENSION), 1)
        here.lifecycle.client.indices.delete(index=here.index.name)
        for call in _every_call(here.index, here):
            assert isinstance(here.refused(call, "The index is not there", within=1), IndexNotReady)


def test_templates_of_another_version_of_the_model_are_never_compared(major: int) -> None:
    """The generation's model is in the registry by its name, but what that name stands for has changed since."""
    lifecycle = opensearch.lifecycle(opensearch.url(major))
    older = opensearch.card(engine().card.dimension, "sface-older")
    lifecycle.create("sface", older, SIZE)
    indexes = OpenSearchIndexes(lifecycle.layouts, lambda _: engine(), "sface")
    sentence = f"The index holds templates of sface-older, and this Candid's sface is {engine().card.id}"
    for call in (indexes.serving, indexes.written):
        with pytest.raises(IndexNotReady, match=sentence):
            call()
    lifecycle.client.indices.delete(index=lifecycle.names.every)
