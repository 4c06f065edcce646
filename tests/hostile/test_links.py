"""Upload links that have expired or were tampered with: refused by the store, and nothing of them is enrolled or searched with.

Links are made by the real functions. S3 is ministack with its authorisation on, which checks a form's signature, expiry and every
condition of its policy before it writes; the other stores are moto's, which checks none of that.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from candid import aws, storage
from candid.correlation import following
from candid.gallery.booking import BookingState, PhotoState
from candid.gallery.catalog import Catalog
from candid.gallery.photos import PhotoKey
from candid.storage import MAX_UPLOAD_BYTES
from embed import wiring
from ingest import app as ingest_app
from tests.e2e.stack import eventually, free_ports
from tests.gateway import Caller
from tests.hostile.size import tries
from tests.integration.aws import GALLERY_TABLE, PHOTOS_BUCKET, PROBES_BUCKET, REGION
from tests.integration.gallery import AGENCY, Gallery, gallery, request, search
from tests.portraits import portrait

OTHER = "lane-county"
BOOKING = {"booking_number": "2026-1", "subject_id": "S-1", "booked_at": "2026-03-01T10:00:00-08:00"}
PHOTO = {"content_type": "image/jpeg"}
KEY, SECRET = "FOOBARKEY", "FOOBARSECRET"
"""What moto lets every client sign with."""
EXPIRED = "AccessDenied: Invalid according to Policy: Policy expired."
TOKEN = "session-token-of-the-function"


@dataclass(frozen=True)
class Link:
    """A presigned POST as its holder has it."""

    url: str
    fields: dict[str, str]

    def without(self, *names: str) -> Link:
        """The link without some of its fields."""
        return Link(self.url, {name: value for name, value in self.fields.items() if name not in names})

    def having(self, **fields: str) -> Link:
        """The link with fields changed or added; ``_`` in a name stands for ``-``."""
        return Link(self.url, self.fields | {name.replace("_", "-"): value for name, value in fields.items()})

    @property
    def policy(self) -> dict[str, Any]:
        """What is signed."""
        told: dict[str, Any] = json.loads(base64.b64decode(self.fields["policy"]))
        return told

    def rewritten(self, change: Callable[[dict[str, Any]], Any]) -> Link:
        """The link with another policy under the old signature."""
        policy = self.policy
        change(policy)
        return self.having(policy=base64.b64encode(json.dumps(policy).encode()).decode())

    def send(self, data: bytes) -> tuple[int, str]:
        """Upload by it; status, and S3's code and sentence for what is wrong."""
        fields: list[tuple[str, Any]] = [*self.fields.items(), ("file", ("photo", data, "application/octet-stream"))]
        answer = urllib3.request("POST", self.url, fields=fields, retries=False, timeout=20)
        return answer.status, _said(answer.data)


def _said(body: bytes) -> str:
    if not body:
        return ""
    told = ElementTree.fromstring(body)  # noqa: S314 - the emulator's own
    return f"{told.findtext('Code')}: {told.findtext('Message')}"


def _opened(body: dict[str, Any]) -> Link:
    return Link(body["upload"]["url"], body["upload"]["fields"])


@dataclass
class Desk:
    """Bookings and probes of one agency, and eyes on what became of them."""

    gallery: Gallery
    clerk: Caller
    numbers: int = 0

    def register(self, clerk: Caller | None = None) -> Link:
        """A booking with one photo to come; the photo's link."""
        self.numbers += 1
        number = {"booking_number": f"2026-{self.numbers}"}
        answer = (clerk or self.clerk)("POST", "/v1/bookings", BOOKING | number | {"photos": [PHOTO]})
        assert answer.status == 201, answer
        return _opened(answer.body["photos"][0])

    def probe(self) -> tuple[str, Link]:
        """A probe's id and its link."""
        answer = self.gallery.casework("POST", "/v1/probes", PHOTO)
        assert answer.status == 201, answer
        return answer.body["probe_id"], _opened(answer.body)

    def stored(self) -> list[str]:
        """The keys of all versions in both buckets."""
        return [one.key for bucket in (PHOTOS_BUCKET, PROBES_BUCKET) for one in storage.versions(bucket)[0]]

    def enrolled(self, key: str) -> tuple[str, BookingState]:
        """What embed does about a key, and where its booking stands then."""
        place = PhotoKey.parse(key)
        assert place is not None
        with following("embed"):
            outcome = wiring.work().enrolment.reconcile_key(key, time.time() + 60)
        booking = Catalog(GALLERY_TABLE).get(place.agency, place.booking_id)
        assert booking is not None
        return outcome.kind, booking.state


@contextmanager
def emulated_s3(folder: Path) -> Iterator[None]:
    """S3 by ministack with authorisation on, for Candid's own client."""
    (port,) = free_ports(1)
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
    passed = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = {"AUTH": "true", "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_REGION": REGION}
    told |= {"SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0", "TMPDIR": str(folder)}
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        child = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=passed | keys | told, cwd=folder, stdout=log, stderr=log
        )
        patch.setenv("AWS_ENDPOINT_URL_S3", url)
        try:
            eventually(lambda: child.poll() is None and _answers(url), 30)
            aws.s3.cache_clear()
            yield
        finally:
            aws.s3.cache_clear()
            child.terminate()
            child.wait(20)


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/_ministack/health", retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("links")
    (folder / "s3").mkdir()
    with emulated_s3(folder / "s3"), gallery(folder) as made:
        ingest_app.work.cache_clear()
        yield Desk(made, Caller(ingest_app.handler))
        ingest_app.work.cache_clear()


def test_a_link_as_it_was_given_takes_its_photo_which_is_enrolled(desk: Desk) -> None:
    link = desk.register()
    assert link.send(portrait("person_a_1")) == (204, "")
    assert desk.enrolled(link.fields["key"]) == ("enrolled", BookingState.ENROLLED)
    found = search(desk.gallery, request(desk.gallery.case())).body
    assert [one["subject_id"] for one in found["results"][0]["candidates"]] == ["S-1"]


def test_a_link_takes_as_many_bytes_as_it_says_and_not_one_more(desk: Desk) -> None:
    link, before = desk.register(), desk.stored()
    for data, code in ((bytes(MAX_UPLOAD_BYTES + 1), "EntityTooLarge"), (b"", "EntityTooSmall")):
        status, said = link.send(data)
        assert (status, said.split(":")[0]) == (400, code)
    assert desk.stored() == before
    assert link.send(bytes(MAX_UPLOAD_BYTES)) == (204, "")


def test_an_expired_link_is_refused_and_so_is_one_whose_expiry_was_put_off(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "UPLOAD_LINK_SECONDS", 2)
    link = desk.register()
    probe_id, probe = desk.probe()
    before = desk.stored()
    end = datetime.fromisoformat(link.policy["expiration"])
    assert end - datetime.now(UTC) < timedelta(seconds=2)
    time.sleep(2.1)
    for one in (link, probe):
        assert one.send(portrait("person_a_2")) == (403, EXPIRED)
        later = one.rewritten(lambda policy: policy.update(expiration="2099-01-01T00:00:00Z"))
        status, said = later.send(portrait("person_a_2"))
        assert (status, said.split(":")[0]) == (403, "SignatureDoesNotMatch")
    assert desk.stored() == before
    assert desk.enrolled(link.fields["key"]) == ("nothing", BookingState.AWAITING_PHOTO)
    asked = {"case_id": desk.gallery.case("2026-CR-2"), "probe_source": "other_still", "probe_id": probe_id}
    assert search(desk.gallery, asked).status == 404


def _elsewhere(link: Link, agency: str) -> str:
    return link.fields["key"].replace(AGENCY, agency, 1)


def _bind(policy: dict[str, Any], kind: str, value: Any) -> None:
    conditions = [one for one in policy["conditions"] if kind not in one]
    policy["conditions"] = [*conditions, value]


UNSIGNED = (403, "SignatureDoesNotMatch: ")


def _not(field: str) -> tuple[int, str]:
    return 403, f'AccessDenied: Invalid according to Policy: Policy Condition failed: ["eq", "${field}", '


def _more(field: str) -> tuple[int, str]:
    return 403, f"AccessDenied: Invalid according to Policy: Extra input fields: {field}"


def _added(name: str, value: str) -> tuple[Callable[[Link, Link], Link], tuple[int, str]]:
    return lambda link, _: Link(link.url, link.fields | {name: value}), _more(name)


TAMPERED: dict[str, tuple[Callable[[Link, Link], Link], tuple[int, str]]] = {
    "the key of another photo of the agency": (lambda link, other: link.having(key=other.fields["key"]), _not("key")),
    "another agency's prefix": (lambda link, _: link.having(key=_elsewhere(link, OTHER)), _not("key")),
    "a key below its own": (lambda link, _: link.having(key=link.fields["key"] + "/more"), _not("key")),
    "the file's name as the key": (lambda link, _: link.having(key="${filename}"), _not("key")),
    "no key": (lambda link, _: link.without("key"), (400, "InvalidArgument: ")),
    "the probes' bucket": (
        lambda link, _: Link(link.url.replace(PHOTOS_BUCKET, PROBES_BUCKET), link.fields),
        _not("bucket"),
    ),
    "another bucket by its name": (lambda link, _: link.having(bucket=PROBES_BUCKET), _not("bucket")),
    "another content type": (lambda link, _: link.having(Content_Type="text/html"), _not("Content-Type")),
    "no content type": (lambda link, _: link.without("Content-Type"), _not("Content-Type")),
    "a booking number": _added("x-amz-meta-booking-number", "2026-7"),
    "a field of one's own": _added("x-amz-meta-facility", "annex"),
    "an access list": _added("acl", "public-read"),
    "tags": _added("tagging", "<Tagging/>"),
    "a storage class": _added("x-amz-storage-class", "GLACIER"),
    "an encryption": _added("x-amz-server-side-encryption", "AES256"),
    "a redirect": _added("success_action_redirect", "https://example.com"),
    "a policy that lets more bytes through": (
        lambda link, _: link.rewritten(
            lambda policy: _bind(policy, "content-length-range", ["content-length-range", 0, 10**9])
        ),
        UNSIGNED,
    ),
    "a policy of another agency's key": (
        lambda link, _: link.rewritten(lambda policy: _bind(policy, "key", {"key": _elsewhere(link, OTHER)})).having(
            key=_elsewhere(link, OTHER)
        ),
        UNSIGNED,
    ),
    "a policy of any key": (
        lambda link, _: link.rewritten(lambda policy: _bind(policy, "key", ["starts-with", "$key", ""])),
        UNSIGNED,
    ),
    "a policy without conditions": (
        lambda link, _: link.rewritten(lambda policy: policy.update(conditions=[])),
        UNSIGNED,
    ),
    "no policy": (lambda link, _: link.without("policy"), (400, "InvalidArgument: ")),
    "another link's signature": (
        lambda link, other: link.having(x_amz_signature=other.fields["x-amz-signature"]),
        UNSIGNED,
    ),
    "another link's policy and signature": (
        lambda link, other: link.having(policy=other.fields["policy"], x_amz_signature=other.fields["x-amz-signature"]),
        _not("key"),
    ),
    "no signature": (lambda link, _: link.without("x-amz-signature"), (400, "InvalidArgument: ")),
    "nothing signed at all": (
        lambda link, _: Link(link.url, {name: link.fields[name] for name in ("key", "Content-Type")}),
        (403, "AccessDenied: "),
    ),
    "another signer": (
        lambda link, _: link.having(x_amz_credential=link.fields["x-amz-credential"].replace(KEY, "AKIAIOSFODNN7")),
        (403, "InvalidAccessKeyId: "),
    ),
}


@pytest.fixture(scope="module")
def links(desk: Desk) -> tuple[Link, Link, Link]:
    """Two links of the agency, and one of another agency."""
    return desk.register(), desk.register(), desk.register(dataclasses.replace(desk.clerk, agency=OTHER))


@pytest.mark.parametrize("how", TAMPERED)
def test_a_link_that_was_tampered_with_is_refused_and_nothing_of_it_is_enrolled(
    desk: Desk, links: tuple[Link, Link, Link], how: str
) -> None:
    change, (status, said) = TAMPERED[how]
    before = desk.stored()
    answered = change(*links[:2]).send(portrait("person_b_1"))
    assert (answered[0], answered[1][: len(said)]) == (status, said)
    assert desk.stored() == before
    for one in links:
        assert desk.enrolled(one.fields["key"]) == ("nothing", BookingState.AWAITING_PHOTO)


def test_no_field_of_a_link_can_be_left_out_or_changed_by_a_single_character(
    desk: Desk, links: tuple[Link, Link, Link]
) -> None:
    link, before = links[0], desk.stored()
    for name, value in link.fields.items():
        assert link.without(name).send(portrait("person_b_1"))[0] in {400, 403}, name
        for place in range(0, len(value), max(1, len(value) // tries(6, 200))):
            other = "0" if value[place] != "0" else "1"
            changed = Link(link.url, link.fields | {name: value[:place] + other + value[place + 1 :]})
            assert changed.send(portrait("person_b_1"))[0] in {400, 403}, (name, place)
    assert desk.stored() == before


def _links(desk: Desk) -> dict[str, tuple[Link, str, str]]:
    """Each kind of link: bucket, and the key's beginning."""
    answer = desk.clerk("POST", "/v1/bookings", BOOKING | {"booking_number": f"A-{time.time_ns()}", "photos": [PHOTO]})
    booking_id = answer.body["booking_id"]
    added = desk.clerk("POST", f"/v1/bookings/{booking_id}/photos", PHOTO)
    place = f"{AGENCY}/bookings/{booking_id}/"
    return {
        "booking": (_opened(answer.body["photos"][0]), PHOTOS_BUCKET, place),
        "photo": (_opened(added.body), PHOTOS_BUCKET, place),
        "probe": (desk.probe()[1], PROBES_BUCKET, f"{AGENCY}/"),
    }


@pytest.mark.parametrize("kind", ["booking", "photo", "probe"])
def test_what_is_signed_holds_every_field_one_key_one_type_the_length_and_the_end(
    desk: Desk, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A function signs as its role, with a session: its token is a field that the policy must hold too.
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    aws.s3.cache_clear()
    try:
        link, bucket, begins = _links(desk)[kind]
    finally:
        aws.s3.cache_clear()
    signed = {name: value for name, value in link.fields.items() if name not in {"policy", "x-amz-signature"}}
    assert signed["key"].startswith(begins)
    assert signed["x-amz-security-token"] == TOKEN
    conditions: list[Any] = [{"bucket": bucket}, *({name: value} for name, value in signed.items())]
    conditions.append(["content-length-range", 1, MAX_UPLOAD_BYTES])
    assert sorted(map(str, link.policy["conditions"])) == sorted(map(str, conditions))
    assert not [name for name in signed if name.startswith("x-amz-meta-")]
    left = datetime.fromisoformat(link.policy["expiration"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    # By botocore's own signer, over what the form says.
    asked = AWSRequest()
    asked.context["timestamp"] = signed["x-amz-date"]
    signer = S3SigV4PostAuth(Credentials(KEY, SECRET, TOKEN), "s3", REGION)
    assert signer.signature(link.fields["policy"], asked) == link.fields["x-amz-signature"]


def test_what_counts_is_what_the_bucket_holds_whatever_brought_it(desk: Desk) -> None:
    """A late photo is a photo: who may write to the bucket is the bucket's rule. Too large a one is not even read."""
    late, large = desk.register(), desk.register()
    aws.s3().put_object(Bucket=PHOTOS_BUCKET, Key=late.fields["key"], Body=portrait("person_b_1"))
    aws.s3().put_object(Bucket=PHOTOS_BUCKET, Key=large.fields["key"], Body=bytes(MAX_UPLOAD_BYTES + 1))
    assert desk.enrolled(late.fields["key"]) == ("enrolled", BookingState.ENROLLED)
    assert desk.enrolled(large.fields["key"]) == ("rejected", BookingState.REJECTED)
    place = PhotoKey.parse(large.fields["key"])
    assert place is not None
    booking = Catalog(GALLERY_TABLE).get(place.agency, place.booking_id)
    assert booking is not None
    (photo,) = booking.photos
    assert (photo.state, photo.reason, photo.sha256) == (PhotoState.REJECTED, "IMAGE_TOO_LARGE", None)
