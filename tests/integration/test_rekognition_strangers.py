"""Who may do what by Rekognition's API: every operation that is carried out, by every role, and by another agency."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from candid.access.principal import Principal, Role
from candid.rekognition import contract, operations
from casework import app as casework_app
from rekognition import app
from tests.gateway import Caller
from tests.integration.delivering import delivering
from tests.integration.gallery import AGENCY, gallery
from tests.portraits import portrait
from tests.rekognition import client, signed, valid_requests

pytestmark = pytest.mark.slow

STRANGER: Final = "lane-county"
COLLECTION: Final = "bookings"
EVERYBODY: Final = frozenset(Role)
SEARCHERS: Final = frozenset({Role.INVESTIGATOR, Role.EXAMINER, Role.SUPERVISOR})
WRITERS: Final = frozenset({Role.RECORDS, Role.ADMIN})
MAY: Final = {
    "DetectFaces": SEARCHERS,
    "CompareFaces": SEARCHERS,
    "SearchFaces": SEARCHERS,
    "SearchFacesByImage": SEARCHERS,
    "SearchUsers": SEARCHERS,
    "SearchUsersByImage": SEARCHERS,
    "CreateCollection": WRITERS,
    "DeleteCollection": WRITERS,
    "TagResource": WRITERS,
    "UntagResource": WRITERS,
    "IndexFaces": WRITERS,
    "DeleteFaces": WRITERS,
    "CreateUser": WRITERS,
    "AssociateFaces": WRITERS,
    "DisassociateFaces": WRITERS,
    "DeleteUser": WRITERS,
    "DescribeCollection": EVERYBODY,
    "ListCollections": EVERYBODY,
    "ListTagsForResource": EVERYBODY,
    "ListFaces": EVERYBODY,
    "ListUsers": EVERYBODY,
}
ABOUT_A_COLLECTION: Final = MAY.keys() - {"DetectFaces", "CompareFaces", "CreateCollection", "ListCollections"}


@dataclass
class World:
    """A collection with a face in it, and credentials of a case for anybody."""

    cases: dict[str, str]
    requests: dict[str, Any]

    def call(self, agency: str, roles: frozenset[Role], operation: str) -> tuple[int, dict[str, Any]]:
        """Status and answer of a valid request by somebody with these roles."""
        given = casework_app.work().credentials.of_case(
            Principal(agency, "somebody", roles), self.cases[agency], "surveillance_still", 900
        )
        told = {
            "AccessKeyId": given.access_key_id,
            "SecretAccessKey": given.secret_access_key,
            "SessionToken": given.session_token,
            "endpoint": "https://rekognition.candid.test",
            "region": "us-east-1",
        }
        body = json.dumps(self.requests[operation]).encode()
        answer = signed(told, app.handler, f"{contract.PREFIX}{operation}", body)
        return answer["statusCode"], json.loads(answer["body"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with gallery(tmp_path_factory.mktemp("strangers")), delivering():
        app.wired.cache_clear()
        cases = {}
        for agency in (AGENCY, STRANGER):
            officer = Caller(casework_app.handler, agency, "det.lee", "investigator records")
            body = {"number": "1", "purpose": "criminal_investigation", "legal_basis": "ORS 133.000"}
            cases[agency] = officer("POST", "/v1/cases", body).body["case_id"]
        officer = Caller(casework_app.handler, AGENCY, "det.lee", "investigator records")
        path = f"/v1/cases/{cases[AGENCY]}/credentials"
        one = client(officer("POST", path, {"probe_source": "surveillance_still"}).body, app.handler)
        arn = one.create_collection(CollectionId=COLLECTION)["CollectionArn"]
        (record,) = one.index_faces(CollectionId=COLLECTION, Image={"Bytes": portrait("person_a_1")})["FaceRecords"]
        yield World(cases, valid_requests(COLLECTION, arn, record["Face"]["FaceId"]))
        app.wired.cache_clear()


def test_the_table_has_every_operation_that_is_carried_out(world: World) -> None:
    assert MAY.keys() == operations.CARRIED_OUT.keys() == world.requests.keys()


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_is_its_own_and_no_more(world: World, role: Role) -> None:
    for operation, roles in MAY.items():
        status, answer = world.call(AGENCY, frozenset({role}), operation)
        if role in roles:
            assert status == 200, (operation, answer)
        else:
            assert (status, answer["__type"]) == (400, "AccessDeniedException"), operation
            assert "Your roles" in answer["message"]


@pytest.mark.parametrize("operation", sorted(ABOUT_A_COLLECTION - {"DeleteCollection"}))
def test_another_agency_finds_no_such_collection(world: World, operation: str) -> None:
    status, answer = world.call(STRANGER, EVERYBODY, operation)
    assert (status, answer["__type"]) == (400, "ResourceNotFoundException")


def test_another_agency_lists_and_deletes_its_own_alone(world: World) -> None:
    assert world.call(STRANGER, EVERYBODY, "ListCollections")[1]["CollectionIds"] == []
    assert world.call(AGENCY, EVERYBODY, "CreateCollection")[0] == 200
    assert world.call(STRANGER, EVERYBODY, "DeleteCollection")[1]["__type"] == "ResourceNotFoundException"
    assert world.call(AGENCY, EVERYBODY, "DeleteCollection")[0] == 200
