"""Who may do what inside OpenSearch, asked of its own security plugin: the functions' real calls under exactly their roles.

On AWS a role is given to the ARN of an IAM role, which a signed request brings. Here a user of the node's has that ARN as a
backend role and comes with a password; what the plugin then decides is the same.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from infra.opensearch.secure import node
from opensearchpy import NotFoundError, OpenSearch
from opensearchpy.exceptions import AuthorizationException

from candid.gallery.index import Entry, Kind, Partition
from candid.gallery.opensearch import client as connection
from candid.gallery.opensearch.access import map_roles, role_name
from candid.gallery.opensearch.client import IndexNotReady
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.lifecycle import Lifecycle, Size
from candid.gallery.opensearch.moving import Moving
from candid.gallery.opensearch.names import Names
from candid.gallery.opensearch.purging import Purging
from candid.gallery.opensearch.survey import survey
from candid.gallery.upkeep.steps import Budget
from candid.settings import OpenSearchSettings
from index import app as index_app
from index import roles as index_roles
from index import wiring as index_wiring
from tests import opensearch
from tests.integration import aws
from tests.integration.invoking import Function, invoked
from tests.template.system import as_list, place, role_statements
from tests.unit.cli.running import candid

pytestmark = pytest.mark.slow

ROLES = opensearch.MAPPING.with_name("roles.json")
FUNCTIONS = ("search", "rekognition", "embed", "index")
DIMENSION = 16
FACES = Partition("lakeside-pd", "bookings", Kind.FACE)
OTHERS = Names("other-stack")
CARD = opensearch.card(DIMENSION)
INDEX = {"CANDID_MODELS": "unused", "MODEL": "sface"}


@dataclass
class Secured:
    """A node with TLS and roles, and the way to it as anybody."""

    node: node.SecureNode
    names: Names = field(default_factory=lambda: Names("candid"))
    clients: dict[str, OpenSearch] = field(default_factory=dict)

    def arn(self, function: str) -> str:
        return f"arn:aws:iam::123456789012:role/candid-{function.capitalize()}Role-ABC"

    def members(self) -> dict[str, list[str]]:
        return {function: [self.arn(function)] for function in FUNCTIONS}

    def client(self, who: str) -> OpenSearch:
        """The client that the function called ``who`` makes for itself, its password from the secret that its settings name."""
        if who not in self.clients:
            password = secrets.token_urlsafe(24)
            self.node.add_user(who, password, [self.arn(who)])
            secret = boto3.client("secretsmanager").create_secret(
                Name=who, SecretString=json.dumps({"username": who, "password": password})
            )
            told = OpenSearchSettings(self.node.url, "candid", "basic", secret["ARN"], str(self.node.authority))
            self.clients[who] = connection.connect(told)
        return self.clients[who]

    def lifecycle(self, who: str, names: Names | None = None) -> Lifecycle:
        here = names or self.names
        client = self.client(who)
        return Lifecycle(client, here, Layouts(client, here), opensearch.MAPPING)

    def index(self, who: str, names: Names | None = None) -> OpenSearchIndex:
        """The serving index, as this function sees it."""
        lifecycle = self.lifecycle(who, names)
        name = self.lifecycle("master", names).layouts.fresh().the_serving().name
        return OpenSearchIndex(lifecycle.client, lifecycle.layouts, name, DIMENSION)

    def clean(self, *names: Names) -> None:
        """Every index of these prefixes is gone."""
        for one in names:
            found = self.client("master").indices.get(index=one.every, params={"allow_no_indices": "true"})
            for index in found:
                self.client("master").indices.delete(index=index)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    opensearch.require(node.MAJOR)
    started = node.start(tmp_path_factory.mktemp("secured"), opensearch.free_port())
    try:
        with aws.stores():
            here = Secured(started)
            started.api("PUT", "/rolesmapping/all_access", {"backend_roles": [here.arn("master")]})
            yield here
    finally:
        started.stop()


@pytest.fixture
def mapped(secured: Secured) -> Iterator[Secured]:
    """The roles are as the file says, an index of this stack serves with one face in it, and another stack has one too."""
    secured.clean(secured.names, OTHERS)
    map_roles(secured.client("master"), secured.names, ROLES, secured.members())
    for names in (secured.names, OTHERS):
        secured.lifecycle("master", names).create("test", CARD, Size(1, 0))
        secured.index("master", names).upsert([_entry(0)])
    yield secured
    secured.clean(secured.names, OTHERS)


def _entry(number: int, partition: Partition = FACES) -> Entry:
    drawn = np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32)
    identity = uuid.uuid5(uuid.NAMESPACE_URL, str(number))
    booked = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return Entry(identity, partition, f"booking-{number}", f"subject-{number}", booked, drawn / np.linalg.norm(drawn))


# What each function asks of OpenSearch in a day, by the use cases that it has them from.


def _search_day(here: Secured) -> None:
    index = here.index("search")
    probe = _entry(0).template
    exact = index.search([FACES], probe, 5)
    assert [one.id for one in exact.neighbours] == [_entry(0).id]
    walked = OpenSearchIndex(index.client, index.layouts, index.name, DIMENSION, exactly=False)
    assert [one.id for one in walked.search([FACES], probe, 5).neighbours] == [_entry(0).id]


def _rekognition_day(here: Secured) -> None:
    """Searches, also with a stored face, and listings."""
    index = here.index("rekognition")
    (held,) = index.get(FACES, [_entry(0).id])
    assert [one.id for one in index.search([FACES], held.template, 5).neighbours] == [held.id]
    assert [one.id for one in index.members(FACES, None, 5)] == [held.id]


def _embed_day(here: Secured) -> None:
    index = here.index("embed")
    index.upsert([_entry(number) for number in range(1, 4)])
    index.relabel(FACES, [_entry(1).id], subject_id="corrected", booked_at=_entry(1).booked_at)
    assert [one.subject_id for one in index.get(FACES, [_entry(1).id])] == ["corrected"]
    assert index.delete(FACES, [_entry(number).id for number in range(1, 4)]) == 3


def _index_day(here: Secured) -> None:
    lifecycle = here.lifecycle("index")
    client, layouts = lifecycle.client, lifecycle.layouts
    here.clean(here.names)
    serving, made = lifecycle.create("test", CARD, Size(1, 0))
    assert made
    index = OpenSearchIndex(client, layouts, serving.name, DIMENSION)
    here.index("master").upsert([_entry(number) for number in range(4)])
    assert index.delete(FACES, [_entry(3).id]) == 1
    assert len(index.get(FACES, [_entry(0).id])) == 1
    client.indices.refresh(index=serving.name)
    assert len(index.scan(None, 10).labels) == 3
    cursor: Any = None
    while cursor := Moving(lifecycle, settle=0).step(FACES, Size(1, 0), cursor, Budget(0)).cursor:
        pass
    assert here.index("master").count(FACES) == 3
    # A scroll that nobody may close keeps deleted documents in their segments for minutes.
    (searches,) = here.client("master").indices.stats(index=serving.name, metric="search")["indices"].values()
    assert not searches["total"]["search"]["open_contexts"], "scrolls are left open"
    here.index("master").upsert([_entry(number) for number in range(10, 14)])
    index.delete(FACES, [_entry(10).id])
    standby, _ = lifecycle.stand_by("test", CARD, Size(1, 0))
    before = lifecycle.layouts.fresh().the_serving().name
    lifecycle.swap(standby.name)
    assert lifecycle.layouts.fresh().the_serving().name == standby.name
    lifecycle.swap(before)
    lifecycle.drop(standby.name)
    told = survey(client, layouts)
    assert [one["index"] for one in told["indexes"]] == [serving.name]
    end = datetime.now(UTC) + timedelta(minutes=2)
    step = Purging(client, layouts).step(None, Budget(5))
    while step.cursor is not None and datetime.now(UTC) < end:
        step = Purging(client, layouts).step(step.cursor, Budget(5))
    assert step.told["purged"], "deleted documents are left"
    # Purging does not wait for the merge, so a refusal of it is seen by nobody; and small segments are merged by a flush too.
    client.indices.forcemerge(index=serving.name, params={"only_expunge_deletes": "true"})


DAYS: dict[str, Callable[[Secured], None]] = {
    "search": _search_day,
    "rekognition": _rekognition_day,
    "embed": _embed_day,
    "index": _index_day,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_does_its_work_under_its_role_by_the_verbs_that_iam_lets_through(
    mapped: Secured, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs: set[str] = set()
    transport = mapped.client(function).transport
    request = transport.perform_request

    def watched(method: str, *args: Any, **options: Any) -> Any:
        verbs.add(f"es:ESHttp{method.capitalize()}")
        return request(method, *args, **options)

    monkeypatch.setattr(transport, "perform_request", watched)
    DAYS[function](mapped)
    (allowed,) = [
        set(statement["Action"])
        for role, statement in role_statements()
        if role == f"{function.capitalize()}Role" and "Domain/*" in map(place, as_list(statement["Resource"]))
    ]
    assert verbs == allowed


def test_the_roles_and_who_has_them_are_put_right_and_left_alone_where_they_are(secured: Secured) -> None:
    master, names = secured.client("master"), Names("fresh")
    members = {function: [f"{arn}-fresh" for arn in arns] for function, arns in secured.members().items()}
    every = tuple(role_name(names, function) for function in sorted(FUNCTIONS))
    assert map_roles(master, names, ROLES, members) == every
    assert map_roles(master, names, ROLES, members) == ()
    # Somebody widened a role, and gave another away.
    wide = {"cluster_permissions": ["*"], "index_permissions": [{"index_patterns": ["*"], "allowed_actions": ["*"]}]}
    secured.node.api("PUT", "/roles/fresh_search", wide)
    secured.node.api("PUT", "/rolesmapping/fresh_embed", {"backend_roles": members["search"], "users": ["eve"]})
    assert map_roles(master, names, ROLES, members) == ("fresh_embed", "fresh_search")
    assert map_roles(master, names, ROLES, members) == ()
    found = secured.node.api("GET", "/rolesmapping/fresh_embed")["fresh_embed"]
    assert (found["backend_roles"], found["users"]) == (members["embed"], [])
    (index,) = secured.node.api("GET", "/roles/fresh_search")["fresh_search"]["index_permissions"]
    assert index["index_patterns"] == ["fresh_*"]


def _function(here: Secured, who: str, told_more: Mapping[str, str], handler: Function) -> Function:
    """A function as the stack configures it for ``who``."""
    here.client(who)
    secret = boto3.client("secretsmanager").describe_secret(SecretId=who)["ARN"]
    told = {
        "OPENSEARCH_ENDPOINT": here.node.url,
        "OPENSEARCH_PREFIX": "candid",
        "OPENSEARCH_AUTH": "basic",
        "OPENSEARCH_SECRET_ARN": secret,
        "OPENSEARCH_CA_FILE": str(here.node.authority),
        **told_more,
    }

    def called(payload: Any, context: Any) -> Mapping[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in told.items():
                patch.setenv(name, value)
            index_wiring.work.cache_clear()
            try:
                return handler(payload, context)
            finally:
                index_wiring.work.cache_clear()

    return called


def test_index_create_gives_the_roles_by_the_function_that_alone_may(secured: Secured, tmp_path: Path) -> None:
    secured.clean(secured.names)
    for function in FUNCTIONS:
        secured.client("master").transport.perform_request(
            "DELETE", f"/_plugins/_security/api/rolesmapping/candid_{function}", params={"ignore": 404}
        )
    arns = {f"{function.upper()}_ROLE_ARN": secured.arn(function) for function in FUNCTIONS}
    index = _function(secured, "index", INDEX, index_app.handler)
    roles = _function(secured, "master", arns, index_roles.handler)
    with invoked(tmp_path) as server:
        server.functions = {"candid-index": index, "candid-roles": roles}
        ran = candid("index", "create", cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert "is made and serves, for the model sface. OpenSearch knows what each function may do." in ran.out
        told = candid("index", "create", "--json", cwd=tmp_path).json
        assert (told["made"], told["roles"]) == (False, True)
        assert roles({"operation": "roles"}, server.context) == {"done": True, "changed": []}
        # The master's way in is for this alone, and no other function gives roles.
        for refused, by in ({"operation": "drop", "index": told["index"]}, roles), ({"operation": "roles"}, index):
            assert by(refused, server.context)["problem"]["status"] == 400
    assert secured.lifecycle("search").layouts.fresh().the_serving().name == told["index"]


def test_the_roles_of_another_stack_stay_as_they_are(mapped: Secured) -> None:
    before = mapped.node.api("GET", "/roles/candid_search")
    theirs = {function: [f"{mapped.arn(function)}-2"] for function in FUNCTIONS}
    map_roles(mapped.client("master"), OTHERS, ROLES, theirs)
    assert mapped.node.api("GET", "/roles/candid_search") == before
    assert mapped.node.api("GET", "/rolesmapping/candid_search")["candid_search"]["backend_roles"] == [
        mapped.arn("search")
    ]
    _search_day(mapped)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_that_works_every_day_may_change_who_may_do_what(mapped: Secured, function: str) -> None:
    with pytest.raises(IndexNotReady, match="master"):
        map_roles(mapped.client(function), mapped.names, ROLES, mapped.members())


def test_every_function_needs_a_member_and_no_other_has_a_role(secured: Secured) -> None:
    members = secured.members()
    for wrong in ({}, {**members, "embed": []}, {**members, "ingest": ["arn:aws:iam::123456789012:role/i"]}):
        with pytest.raises(ValueError, match="embed, index, rekognition, search"):
            map_roles(secured.client("master"), secured.names, ROLES, wrong)


def test_a_node_without_roles_says_so() -> None:
    lifecycle = opensearch.lifecycle(opensearch.url(2))
    with pytest.raises(IndexNotReady, match="no security plugin"):
        map_roles(lifecycle.client, lifecycle.names, ROLES, {function: ["arn"] for function in FUNCTIONS})


def test_who_searches_can_not_write_delete_or_list_templates(mapped: Secured) -> None:
    index = mapped.index("search")
    for refused in (
        lambda: index.upsert([_entry(7)]),
        lambda: index.delete(FACES, [_entry(0).id]),
        lambda: index.drop(FACES),
        lambda: index.get(FACES, [_entry(0).id]),
        lambda: mapped.lifecycle("search").drop(index.name),
    ):
        with pytest.raises(Exception, match=r"does not let this function in|There is no such index|This index serves"):
            refused()
    with pytest.raises(AuthorizationException):
        index.client.indices.delete(index=index.name)
    assert [one.id for one in mapped.index("master").get(FACES, [_entry(0).id])] == [_entry(0).id]


def test_who_enrols_can_neither_make_nor_drop_an_index_nor_search(mapped: Secured) -> None:
    client, name = mapped.client("embed"), mapped.index("embed").name
    for refused in (
        lambda: client.indices.create(index="candid_mistake_000009"),
        lambda: client.indices.delete(index=name),
        lambda: client.indices.update_aliases(
            body={"actions": [{"add": {"index": name, "alias": mapped.names.standby}}]}
        ),
        lambda: client.indices.put_settings(index=name, body={"index.search.slowlog.threshold.query.trace": "0ms"}),
        lambda: client.search(index=name),
    ):
        with pytest.raises(AuthorizationException):
            refused()
    # A misspelt name must not become an index: OpenSearch is told so, and where it is not the role forbids it.
    with pytest.raises((AuthorizationException, NotFoundError)):
        client.index(index="candid_mistake_000009", body={"face_id": "1"})
    assert not mapped.client("master").indices.exists(index="candid_mistake_000009")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_touches_what_is_another_stacks(mapped: Secured, function: str) -> None:
    client = mapped.client(function)
    theirs = mapped.index("master", OTHERS)
    for refused in (
        lambda: client.indices.get(index=theirs.name),
        lambda: client.search(index=theirs.name),
        lambda: client.search(index=f"{mapped.names.every},{theirs.name}"),
        lambda: client.search(index="_all"),
        lambda: client.indices.delete(index=theirs.name),
        lambda: client.indices.forcemerge(index=theirs.name),
        lambda: client.indices.update_aliases(
            body={"actions": [{"add": {"index": theirs.name, "alias": mapped.names.standby}}]}
        ),
        lambda: client.delete_by_query(index=theirs.name, body={"query": {"match_all": {}}}),
    ):
        with pytest.raises(AuthorizationException):
            refused()
    # A request for many can't be told from one for few: each part is refused by itself.
    with pytest.raises(IndexNotReady):
        OpenSearchIndex(client, Layouts(mapped.client("master"), OTHERS), theirs.name, DIMENSION).get(
            FACES, [_entry(0).id]
        )
    with pytest.raises(Exception, match="does not let this function in"):
        OpenSearchIndex(client, Layouts(mapped.client("master"), OTHERS), theirs.name, DIMENSION).upsert([_entry(9)])
    with pytest.raises(IndexNotReady):
        OpenSearchIndex(client, Layouts(mapped.client("master"), OTHERS), theirs.name, DIMENSION).search(
            [FACES], _entry(0).template, 1
        )
    assert [one.id for one in theirs.get(FACES, [_entry(0).id])] == [_entry(0).id]


def test_whoever_has_no_role_may_do_nothing(mapped: Secured) -> None:
    client = mapped.client("ingest")
    for refused in (client.info, lambda: client.search(index=mapped.names.every), client.cluster.health):
        with pytest.raises(AuthorizationException):
            refused()


def _permissions() -> list[Any]:
    roles = json.loads(ROLES.read_text())
    return [
        pytest.param(function, kind, action, id=f"{function} {action}")
        for function, role in roles.items()
        for kind in ("cluster_permissions", "index_permissions")
        for action in role[kind]
    ]


@pytest.mark.parametrize(("function", "kind", "action"), _permissions())
def test_a_function_needs_each_of_its_permissions(
    mapped: Secured, function: str, kind: str, action: str, tmp_path: Path
) -> None:
    """The least privilege, found by taking each away: what nobody misses is not needed."""
    less = json.loads(ROLES.read_text())
    less[function][kind].remove(action)
    definitions = tmp_path / "roles.json"
    definitions.write_text(json.dumps(less))
    map_roles(mapped.client("master"), mapped.names, definitions, mapped.members())
    with pytest.raises(Exception, match=r"let this function in|no permissions|did not take every document|are left"):
        DAYS[function](mapped)
