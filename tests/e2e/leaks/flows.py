"""All that a clerk, an investigator, an administrator and a booking system do, with recognisable names, numbers and photos; well,
and with mistakes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import urllib3

from candid.cli.api import text
from tests.e2e.leaks.marks import Marks
from tests.e2e.stack import BOOKED_AT, Stack, portrait
from tests.rekognition import refused, stock

MISTAKE = {400, 404, 409, 413, 415, 422}


class Ask(Protocol):
    """One request of the API; its status and answer."""

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]: ...


@dataclass
class Walk:
    """One agency's day. ``settle`` waits until a booking's photo is enrolled or rejected, or until the booking is gone."""

    ask: Ask
    stack: Stack
    marks: Marks
    agency: str
    settle: Callable[[str, bool], None]
    asked: int = 0

    def photo(self, name: str) -> bytes:
        """A portrait with a comment of this walk's own in it."""
        whole = portrait(f"{name}.jpg")
        comment = self.marks.word("comment in a photo").encode()
        photo = whole[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + whole[2:]
        self.marks.photo(f"photo {name}", photo)
        return photo

    def case(self) -> str:
        """An open case."""
        number, basis = self.marks.word("case number"), self.marks.word("legal basis")
        body = {"number": number, "purpose": "criminal_investigation", "legal_basis": basis}
        return str(self._done("POST", "/v1/cases", body, headers={"Idempotency-Key": str(uuid.uuid4())})["case_id"])

    def enrol(self, name: str, photo: bytes | None = None) -> tuple[str, str]:
        """A booking with its photo uploaded by the link; ids of booking and photo."""
        word = self.marks.word
        body = {
            "booking_number": word("booking number"),
            "subject_id": word("subject id"),
            "booked_at": BOOKED_AT,
            "fields": {"name": word("name"), "address": word("address")},
        }
        booking = self._done("POST", "/v1/bookings", body)
        (one,) = booking["photos"]
        self._upload(one["upload"], photo or self.photo(name))
        self.settle(booking["booking_id"], False)
        return booking["booking_id"], one["photo_id"]

    def drop(self, name: str) -> None:
        """A photo put straight into the bucket, with its booking's metadata."""
        word = self.marks.word
        booking_id = str(uuid.uuid4())
        key = f"{self.agency}/bookings/{booking_id}/{uuid.uuid4()}"
        metadata = {"booking-number": word("booking number"), "subject-id": word("subject id"), "name": word("name")}
        self._put(key, self.photo(name), metadata | {"booked-at": BOOKED_AT})
        self.settle(booking_id, False)

    def well(self) -> None:
        """Nothing goes wrong."""
        booking_id, _ = self.enrol("person_a_1")
        self.drop("person_b_1")
        self.enrol("nothing", b"no photo at all, but " + self.marks.word("contents of a file").encode())
        case = self.case()
        probe = self.photo("person_a_2")
        asked = {"case_id": case, "probe_source": "other_still"}
        answer = self._done("POST", "/v1/searches", asked | {"probe": text(probe)})
        assert answer["results"][0]["candidates"], answer
        self._links(answer)
        self._form(asked, probe)
        upload = self._done("POST", "/v1/probes", {"content_type": "image/jpeg"})
        self._upload(upload["upload"], probe)
        self._done("POST", "/v1/searches", asked | {"probe_id": upload["probe_id"]})
        self._links(self._done("GET", f"/v1/searches/{answer['search_id']}"))
        self._done("POST", "/v1/comparisons", {"image_a": text(probe), "image_b": text(self.photo("impostor_1"))})
        self._done("POST", "/v1/detections", {"image": text(probe)})
        path = f"/v1/bookings/{booking_id}"
        self._links(self._done("GET", path))
        number = self._done("GET", path)["booking_number"]
        self._done("GET", "/v1/bookings", query={"booking_number": number})
        self._done("PATCH", path, {"subject_id": self.marks.word("subject id")})
        self._done("POST", f"{path}/photos", {"content_type": "image/jpeg"})
        reader = f"agency-{uuid.uuid4().hex[:8]}"
        basis = self.marks.word("legal basis")
        share = self._done("POST", "/v1/shares", {"collection": "bookings", "reader": reader, "legal_basis": basis})
        self._done("POST", f"/v1/shares/{share['share_id']}/revoke")
        self._done("POST", f"/v1/cases/{case}/close")
        self._done("DELETE", path)
        self.settle(booking_id, True)

    def by_rekognition(self) -> None:
        """The same by Rekognition's API: a collection, faces, users, searches; and mistakes."""
        word, one = self.marks.word, stock(self.credentials())
        self.from_a_bucket(one)
        here = {"CollectionId": f"c-{uuid.uuid4().hex[:8]}"}
        one.create_collection(**here, Tags={word("tag"): word("tag value")})
        photo = {"Bytes": self.photo("person_a_1")}
        told = one.index_faces(**here, Image=photo, ExternalImageId=word("external image id"))
        face_ids = [made["Face"]["FaceId"] for made in told["FaceRecords"]]
        user = here | {"UserId": word("user id")}
        one.create_user(**user)
        assert one.associate_faces(**user, FaceIds=face_ids)["UserStatus"] == "ACTIVE"
        probe = {"Bytes": self.photo("person_a_2")}
        assert one.search_users_by_image(**here, Image=probe)["UserMatches"]
        assert one.search_users(**here, FaceId=face_ids[0])["UserMatches"]
        assert one.search_faces_by_image(**here, Image=probe)["FaceMatches"]
        assert one.list_faces(**user)["Faces"]
        assert one.list_users(**here)["Users"]
        for call, members in (
            (one.create_user, user),
            (one.delete_user, here | {"UserId": word("user id")}),
            (one.list_faces, here | {"UserId": word("user id")}),
            (one.search_users, here | {"UserId": word("user id")}),
            (one.create_collection, here | {"Tags": {word("tag"): word("tag value")}}),
            (one.detect_faces, {"Image": {"Bytes": word("contents of a file").encode()}}),
            (one.detect_faces, {"Image": {"S3Object": {"Bucket": "photos", "Name": word("object key")}}}),
        ):
            refused(call, **members)
            self.asked += 1
        one.disassociate_faces(**user, FaceIds=face_ids)
        one.delete_user(**user)
        one.delete_faces(**here, FaceIds=face_ids)
        one.delete_collection(**here)
        self.asked += 14

    def from_a_bucket(self, one: Any) -> None:
        """Images by S3Object, from a place of the agency's own whose keys name people; ``one`` is Rekognition's client."""
        s3, word = self.stack.aws("s3"), self.marks.word
        bucket, prefix = f"bucket-{uuid.uuid4().hex[:8]}", f"{word('prefix')}/"
        s3.create_bucket(Bucket=bucket)
        place = self._done("POST", "/v1/places", {"bucket": bucket, "prefix": prefix})
        key = f"{prefix}{word('object key')}.jpg"
        image = {"S3Object": {"Bucket": bucket, "Name": key}}
        s3.put_object(Bucket=bucket, Key=key, Body=self.photo("person_a_2"))
        refused(one.detect_faces, Image=image)
        s3.put_object(Bucket=bucket, Key=f"{prefix}candid-agency.txt", Body=self.agency.encode())
        assert one.detect_faces(Image=image)["FaceDetails"]
        refused(one.detect_faces, Image={"S3Object": {"Bucket": bucket, "Name": f"{prefix}{word('object key')}.jpg"}})
        self._done("GET", "/v1/places")
        self._done("DELETE", f"/v1/places/{place['place_id']}")
        self.asked += 3

    def credentials(self) -> dict[str, Any]:
        """Of a case of its own."""
        given: dict[str, Any] = self._done(
            "POST", f"/v1/cases/{self.case()}/credentials", {"probe_source": "other_still"}
        )
        self.marks.secret("token of credentials", given["SessionToken"])
        self.marks.text("token of credentials' secret", given["SecretAccessKey"])
        return given

    def wrongly(self) -> None:
        """Every kind of mistake with something recognisable in it."""
        word = self.marks.word
        booking = {"booking_number": word("booking number"), "subject_id": word("subject id"), "booked_at": BOOKED_AT}
        for body in (
            booking | {"booked_at": word("name")},
            booking | {word("member"): word("name")},
            booking | {"fields": {word("field"): word("name")}},
            booking | {"collection": word("name") + " /"},
            word("body"),
            "{" + word("body"),
        ):
            self._mistake("POST", "/v1/bookings", body)
        self._mistake("POST", "/v1/bookings", raw=word("body").encode(), content_type=f"text/{word('type')}")
        self._mistake("GET", f"/v1/bookings/{word('name')}")
        self._mistake("GET", "/v1/bookings", query={"cursor": word("cursor")})
        self._mistake("GET", "/v1/bookings", query={word("parameter"): word("name")})
        self._done("POST", "/v1/bookings", booking)
        self._mistake("POST", "/v1/bookings", booking | {"subject_id": word("subject id")})
        case = self.case()
        asked = {"case_id": case, "probe_source": "other_still"}
        spoilt = self.photo("person_b_2")
        for probe in (
            spoilt[: len(spoilt) // 2],
            b"\x89PNG\r\n\x1a\n" + spoilt,
            word("contents of a file").encode(),
            spoilt[2:],
        ):
            self._mistake("POST", "/v1/searches", asked | {"probe": text(probe)})
            self._mistake("POST", "/v1/detections", {"image": text(probe)})
        self._mistake("POST", "/v1/searches", asked | {"probe": word("base64") + "!"})
        self._mistake("POST", "/v1/searches", {"case_id": word("case number"), "probe": text(spoilt)})
        head = (
            f'--line\r\nContent-Disposition: form-data; name="{word("member")}"; filename="{word("file name")}"\r\n\r\n'
        )
        self._mistake(
            "POST", "/v1/searches", raw=head.encode() + spoilt, content_type="multipart/form-data; boundary=line"
        )

    def anything(self) -> None:
        """Requests of every function where nothing can be expected of it: they are answered somehow."""
        word = self.marks.word
        labels = {"booking_number": word("booking number"), "subject_id": word("subject id"), "booked_at": BOOKED_AT}
        case = {"number": word("case number"), "purpose": "criminal_investigation", "legal_basis": word("legal basis")}
        probe = text(self.photo("impostor_2"))
        for method, path, body in (
            ("POST", "/v1/bookings", labels | {"fields": {"name": word("name")}}),
            ("POST", "/v1/cases", case),
            ("POST", "/v1/searches", {"case_id": str(uuid.uuid4()), "probe_source": "other_still", "probe": probe}),
            ("POST", "/v1/comparisons", {"image_a": probe, "image_b": probe}),
        ):
            status, _ = self.ask(method, path, body)
            assert status in {201, 200, 500, 503, 404}, status
            self.asked += 1

    def _done(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        status, answer = self.ask(method, path, body, **how)
        assert 200 <= status < 300, (method, path, status, answer)
        self.asked += 1
        return answer

    def _mistake(self, method: str, path: str, body: Any = None, **how: Any) -> None:
        status, answer = self.ask(method, path, body, **how)
        assert status in MISTAKE, (method, path, status, answer)
        self.asked += 1

    def _form(self, asked: dict[str, Any], probe: bytes) -> None:
        name = self.marks.word("file name")
        parts: dict[str, Any] = {
            "request": (None, json.dumps(asked), "application/json"),
            "probe": (f"{name}.jpg", probe, "image/jpeg"),
        }
        data, kind = urllib3.encode_multipart_formdata(parts)
        self._done("POST", "/v1/searches", raw=data, content_type=kind)

    def _upload(self, upload: Mapping[str, Any], photo: bytes) -> None:
        for secret in ("x-amz-signature", "policy"):
            self.marks.secret("upload link", upload["fields"][secret])
        parts = {**upload["fields"], "file": (f"{self.marks.word('file name')}.jpg", photo)}
        answer = urllib3.request("POST", upload["url"], fields=parts)
        assert answer.status in {200, 201, 204}, answer.status

    def _put(self, key: str, photo: bytes, metadata: dict[str, str]) -> None:
        s3 = self.stack.aws("s3")
        s3.put_object(Bucket=self.stack.photos_bucket, Key=key, Body=photo, Metadata=metadata)

    def _links(self, answer: Any) -> None:
        for link in _every(answer, "photo_url"):
            self.marks.secret("photo link", parse_qs(urlsplit(link).query)["X-Amz-Signature"][0])


def _every(told: Any, name: str) -> list[str]:
    """The members called ``name``, wherever they are."""
    if isinstance(told, dict):
        here = [told[name]] if name in told else []
        return here + [one for member in told.values() for one in _every(member, name)]
    return [one for member in told for one in _every(member, name)] if isinstance(told, list) else []
