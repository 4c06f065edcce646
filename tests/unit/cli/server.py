"""A small server that speaks the contract from memory, over real sockets, for tests of the command line.

It checks every request against infra/api/openapi.yaml, takes photos by presigned POST, "enrols" them (a photo with ``noface`` in
its bytes is rejected), and can be told to fail.
"""

from __future__ import annotations

import base64
import email.parser
import email.policy
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt

from candid.access.keys import LocalKeys
from candid.casework.cases import NO_SUCH_CASE
from candid.gallery.catalog import NO_SUCH_BOOKING
from candid.gallery.places import NO_SUCH_PLACE
from candid.gallery.sharing import NO_SUCH_SHARE
from tests.contract.openapi import validator

NOTICE = "A candidate is an investigative lead and not an identification."
CALIBRATION = "Measured on LFW as a whole, not per group."
BOX = {"index": 0, "left": 40.0, "top": 61.0, "width": 96.0, "height": 124.0, "confidence": 0.93}
FACE = {"box": BOX, "quality": {"score": 81.0, "yaw": 3.0, "pitch": -2.0, "roll": 0.4}}
POLICY = {"version": "1", "sha256": "0" * 64}


@dataclass
class Fault:
    """Answer so instead, ``times`` times, to requests whose method and path begin with ``on``."""

    on: str
    status: int
    headers: dict[str, str]
    times: int
    document: dict[str, Any]


@dataclass
class World:
    """What the server holds and what was asked of it."""

    url: str = ""
    enrol_after: float = 0.0
    upload_takes: float = 0.0
    max_bytes: int = 15 * 1024 * 1024
    expired_links: int = 0
    expired: set[str] = field(default_factory=set)
    bookings: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: dict[tuple[str, str, str], str] = field(default_factory=dict)
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    shares: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, dict[str, Any]] = field(default_factory=dict)
    searches: list[dict[str, Any]] = field(default_factory=list)
    credentials: list[dict[str, Any]] = field(default_factory=list)
    probes: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    candidates: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fail(self, on: str, status: int, *, times: int = 1, detail: str = "Try again later.", **headers: str) -> None:
        """Fail the next requests."""
        document = {"type": "urn:candid:problem:x", "title": "x", "status": status, "detail": detail}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(on, status, named, times, document))

    def photos(self) -> list[dict[str, Any]]:
        """All photos of all bookings."""
        return [photo for booking in self.bookings.values() for photo in booking["photos"].values()]


class Refusal(Exception):
    """A problem document."""

    def __init__(self, status: int, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.document = {"type": "urn:candid:problem:x", "title": "x", "status": status, "detail": detail, **members}


@contextmanager
def serving(world: World | None = None) -> Iterator[World]:
    """A server on a free port of the loopback interface."""
    world = world or World()

    class Handler(_Handler):
        held = world

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def get_request(self) -> Any:
            world.connections += 1
            return super().get_request()

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # A client that was interrupted breaks its connections off.

    server = Server(("127.0.0.1", 0), Handler)
    world.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()


def local_file(folder: Path, world: World) -> Path:
    """``.candid/local.json`` in ``folder`` with a key pair, as ``make run`` leaves it."""
    home = folder / ".candid"
    LocalKeys.load_or_create(home / "keys")
    places = {"api_url": world.url, "issuer": world.url, "rekognition_url": world.url}
    told = {**places, "keys": str(home / "keys"), "stack": "candid", "outputs": {}}
    (home / "local.json").write_text(json.dumps(told))
    return home / "local.json"


class _Handler(BaseHTTPRequestHandler):
    held: World
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        world, url = self.held, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with world.lock:
            world.asked[f"{self.command} {_shape(url.path)}"] += 1
            for fault in world.faults:
                if fault.times > 0 and f"{self.command} {url.path}".startswith(fault.on):
                    fault.times -= 1
                    self._send(fault.status, fault.document, fault.headers)
                    return
        if url.path.startswith("/upload/"):
            self._take(url.path.removeprefix("/upload/"), body)
            return
        try:
            status, answer, schema = self._route(url.path, dict(parse_qsl(url.query)), body)
        except Refusal as refusal:
            self._send(refusal.document["status"], refusal.document)
            return
        validator(schema).validate(answer)
        self._send(status, answer)

    def _route(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any, str]:
        world = self.held
        if path == "/":
            raise Refusal(404, "There is no such route.")
        agency = self._agency()
        parts = path.strip("/").split("/")[1:]
        match [self.command, *parts]:
            case ["POST", "bookings:batch"]:
                wanted = _checked(body, "BookingBatchRequest")["bookings"]
                return 200, {"results": [self._register(agency, one) for one in wanted]}, "BookingBatch"
            case ["GET", "bookings"]:
                return 200, self._list(agency, query), "BookingPage"
            case ["GET", "bookings", booking_id]:
                with world.lock:
                    return 200, _shown(self._booking(agency, booking_id), world), "Booking"
            case ["POST", "bookings", booking_id, "photos"]:
                with world.lock:
                    photo = self._photo(self._booking(agency, booking_id), _checked(body, "PhotoRequest"))
                return 201, photo, "PhotoUpload"
            case ["POST", "cases"]:
                return 201, self._open(agency, _checked(body, "CaseRequest")), "Case"
            case ["GET", "cases"]:
                found = [one for one in world.cases.values() if query.get("state") in {None, one["state"]}]
                return 200, {"cases": found[::-1]}, "CasePage"
            case ["GET", "cases", case_id]:
                return 200, self._case(case_id), "Case"
            case ["POST", "cases", case_id, "close"]:
                self._case(case_id).update(state="closed", closed_at="2026-03-02T09:00:00Z", closed_by="clerk.1")
                return 200, self._case(case_id), "Case"
            case ["POST", "cases", case_id, "credentials"]:
                self._case(case_id)
                return 201, self._credentials(_checked(body, "CaseCredentialsRequest")), "Credentials"
            case ["POST", "cases", case_id, "credentials", "revoke"]:
                self._case(case_id).update(
                    credentials_revoked_at="2026-03-02T09:00:00Z", credentials_revoked_by="clerk.1"
                )
                return 200, self._case(case_id), "Case"
            case ["POST", "credentials"]:
                return 201, self._credentials(_checked(body, "RecordsCredentialsRequest")), "Credentials"
            case ["POST", "credentials", "revoke"]:
                return 200, {"revoked_at": "2026-03-02T09:00:00Z"}, "Revoked"
            case ["POST", "shares"]:
                return 201, self._share(agency, _checked(body, "ShareRequest")), "Share"
            case ["GET", "shares"]:
                side = "agency" if query["direction"] == "given" else "reader"
                return 200, {"shares": [one for one in world.shares.values() if one[side] == agency]}, "SharePage"
            case ["POST", "shares", share_id, "revoke"]:
                if share_id not in world.shares:
                    raise Refusal(404, NO_SUCH_SHARE)
                ended = {"state": "revoked", "revoked_at": "2026-03-02T09:00:00Z", "revoked_by": "chief"}
                world.shares[share_id].update(ended)
                return 200, world.shares[share_id], "Share"
            case ["POST", "places"]:
                place = {"prefix": "", **_checked(body, "PlaceRequest"), "place_id": str(uuid.uuid4())}
                world.places[place["place_id"]] = place | {
                    "registered_at": "2026-03-01T08:00:00Z",
                    "registered_by": "chief",
                }
                return 201, world.places[place["place_id"]], "Place"
            case ["GET", "places"]:
                return 200, {"places": list(world.places.values())}, "Places"
            case ["DELETE", "places", place_id]:
                if place_id not in world.places:
                    raise Refusal(404, NO_SUCH_PLACE)
                return 200, world.places.pop(place_id), "Place"
            case ["POST", "probes"]:
                _checked(body, "ProbeRequest")
                probe_id = str(uuid.uuid4())
                return 201, {"probe_id": probe_id, "upload": self._link(f"probe/{probe_id}")}, "ProbeUpload"
            case ["POST", "searches"]:
                assert self.headers["Idempotency-Key"]
                return 201, self._search(agency, _checked(body, "SearchRequest")), "Search"
            case ["POST", "comparisons"]:
                _checked(body, "ComparisonRequest")
                score = {"cosine": 0.712, "similarity": 97.3, "fmr": 5.3e-7, "extrapolated": True}
                model = {"id": "sface", "calibration": CALIBRATION}
                both = {"face_a": FACE, "face_b": FACE}
                return 200, {"score": score, "model": model, "notice": NOTICE, **both}, "Comparison"
            case ["POST", "detections"]:
                image = base64.b64decode(_checked(body, "DetectionRequest")["image"])
                if b"noface" in image:
                    return 200, {"width": 64, "height": 64, "faces": []}, "Detections"
                blurred = {"reason": "LOW_SHARPNESS", "sentence": "The face is too blurred."}
                return 200, {"width": 250, "height": 250, "faces": [FACE, FACE | {"reasons": [blurred]}]}, "Detections"
        raise Refusal(404, "There is no such route.")

    def _credentials(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.held.credentials.append(asked)
        return {
            "AccessKeyId": f"CNDD{len(self.held.credentials):016}",
            "SecretAccessKey": "it's secret",
            "SessionToken": "token",
            "Expiration": "2026-03-02T10:00:00Z",
            "region": "us-east-1",
            "endpoint": "https://rekognition.candid.test",
        }

    def _agency(self) -> str:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            return str(jwt.decode(token, options={"verify_signature": False})["agency"])
        except (jwt.PyJWTError, KeyError):
            raise Refusal(401, "The token is not valid here.") from None

    def _register(self, agency: str, one: dict[str, Any]) -> dict[str, Any]:
        world = self.held
        key = (agency, one.get("collection", "bookings"), one["booking_number"])
        with world.lock:
            if key in world.numbers:
                detail = "A booking with this number is there already. Use its booking_id to add a photo."
                problem = Refusal(409, detail, booking_id=world.numbers[key]).document
                return {"status": 409, "problem": problem}
            booking_id = str(uuid.uuid4())
            world.numbers[key] = booking_id
            booking = {**one, "booking_id": booking_id, "agency": agency, "collection": key[1], "photos": {}}
            world.bookings[booking_id] = booking
            photos = [self._photo(booking, photo) for photo in one["photos"]]
        created = {"booking_id": booking_id, "collection": key[1], "photos": photos}
        return {"status": 201, "booking": created}

    def _photo(self, booking: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
        photo = booking["photos"].get(wanted["sha256"])
        if photo is None:
            if len(booking["photos"]) >= 8:
                raise Refusal(409, "The booking has 8 photos already, which is the most that one may have.")
            photo = {"photo_id": str(uuid.uuid4()), "view": wanted.get("view", "frontal"), "sha256": wanted["sha256"]}
            booking["photos"][wanted["sha256"]] = photo
        shown = _photo_shown(photo, self.held)
        answer = {"photo_id": shown["photo_id"], "view": shown["view"], "state": shown["state"]}
        if shown["state"] == "awaiting_upload":
            answer["upload"] = self._link(f"{booking['booking_id']}/{wanted['sha256']}")
        return answer

    def _link(self, key: str) -> dict[str, Any]:
        world = self.held
        with world.lock:
            # Each of another photo: a fresh link works.
            expired = len(world.expired) < world.expired_links and key not in world.expired
            if expired:
                world.expired.add(key)
        fields = {"key": key, "Content-Type": "image/jpeg", "policy": "expired" if expired else "good"}
        url = f"{world.url}/upload/{key}"
        return {"url": url, "fields": fields, "expires_at": "2026-01-01T00:00:00Z", "max_bytes": world.max_bytes}

    def _take(self, key: str, body: bytes) -> None:
        world = self.held
        time.sleep(world.upload_takes)
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {part.get_param("name", header="Content-Disposition"): part for part in message.iter_parts()}  # type: ignore[attr-defined]
        assert list(parts)[-1] == "file", "S3 ignores what comes after the file"
        content = parts["file"].get_payload(decode=True)
        if parts["policy"].get_content().strip() == "expired":
            self._send(403, "<Error><Code>AccessDenied</Code><Message>Policy expired.</Message></Error>")
            return
        with world.lock:
            world.uploads[key] += 1
            if key.startswith("probe/"):
                world.probes[key.removeprefix("probe/")] = len(content)
            else:
                booking_id, digest = key.split("/")
                assert sha256(content).hexdigest() == digest
                photo = world.bookings[booking_id]["photos"][digest]
                photo |= {"arrived": time.monotonic(), "rejected": b"noface" in content}
        self._send(204, "")

    def _list(self, agency: str, query: dict[str, str]) -> dict[str, Any]:
        world = self.held
        number = query.get("booking_number")
        with world.lock:
            every = [_shown(one, world) for one in world.bookings.values() if one["agency"] == agency]
        found = [
            {name: value for name, value in one.items() if name != "photos"}
            for one in sorted(every, key=lambda one: (one["booked_at"], one["booking_id"]), reverse=True)
            if query.get("state") in {None, one["state"]}
            and query.get("collection") in {None, one["collection"]}
            and number in {None, one["booking_number"]}
        ]
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 50))
        page = {"bookings": found[start : start + limit]}
        return page | ({"next_cursor": str(start + limit)} if start + limit < len(found) else {})

    def _booking(self, agency: str, booking_id: str) -> dict[str, Any]:
        booking = self.held.bookings.get(booking_id)
        if booking is None or booking["agency"] != agency:
            raise Refusal(404, NO_SUCH_BOOKING)
        return booking

    def _open(self, agency: str, wanted: dict[str, Any]) -> dict[str, Any]:
        assert self.headers["Idempotency-Key"]
        if wanted["purpose"] == "witness":
            raise Refusal(403, "A search for a witness needs a supervisor's approval.", policy="purposes.witness")
        case_id = str(uuid.uuid4())
        opened = {"case_id": case_id, "officer": "clerk.1", "agency": agency, "state": "open", "policy": POLICY}
        self.held.cases[case_id] = {**wanted, **opened, "opened_at": "2026-03-01T08:00:00Z"}
        return self.held.cases[case_id]

    def _share(self, agency: str, wanted: dict[str, Any]) -> dict[str, Any]:
        assert self.headers["Idempotency-Key"]
        share = {**wanted, "share_id": str(uuid.uuid4()), "agency": agency, "state": "in_force", "granted_by": "chief"}
        self.held.shares[share["share_id"]] = share | {"granted_at": "2026-03-01T08:00:00Z"}
        return self.held.shares[share["share_id"]]

    def _case(self, case_id: str) -> dict[str, Any]:
        if case_id not in self.held.cases:
            raise Refusal(404, NO_SUCH_CASE)
        return self.held.cases[case_id]

    def _search(self, agency: str, wanted: dict[str, Any]) -> dict[str, Any]:
        world = self.held
        self._case(wanted["case_id"])
        world.searches.append(wanted)
        image = base64.b64decode(wanted.get("probe", ""))
        if b"several" in image and "face" not in wanted:
            raise Refusal(422, "The image shows 2 faces. Say which one is meant.", faces=[BOX, BOX | {"index": 1}])
        outcome = "candidates" if world.candidates else "no_candidate_above_threshold"
        return {
            "search_id": str(uuid.uuid4()),
            "case_id": wanted["case_id"],
            "agency": agency,
            "officer": "clerk.1",
            "searched_at": "2026-03-01T08:05:00Z",
            "gallery_agency": wanted.get("filters", {}).get("agency", agency),
            "collection": wanted.get("collection", "bookings"),
            "probe_source": wanted["probe_source"],
            "model": {"id": "sface", "calibration": CALIBRATION},
            "exact": True,
            "gallery_size": 2006,
            "threshold": {
                "cosine": 0.41,
                "fmr": 1e-4,
                "similarity": 90.0,
                "expected_false_candidates": 0.2,
                "basis": "policy",
            },
            "results": [{"face": FACE, "outcome": outcome, "candidates": world.candidates}],
            "notice": NOTICE,
            "policy": POLICY,
        }

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def candidate(rank: int, subject: str, fmr: float, **more: Any) -> dict[str, Any]:
    """A candidate of the contract."""
    return {
        "rank": rank,
        "booking_id": str(uuid.uuid4()),
        "subject_id": subject,
        "booking_number": f"24-{rank:04}",
        "booked_at": "2024-05-06T10:00:00Z",
        "collection": "bookings",
        "agency": "washington-county",
        "photo_id": str(uuid.uuid4()),
        "score": {"cosine": 0.6, "similarity": 100 * (1 - fmr**0.25), "fmr": fmr},
        "expected_false_candidates": fmr * 2006,
        "photo_url": "http://127.0.0.1/photo",
        "photo_url_expires_at": "2026-03-01T08:10:00Z",
        **more,
    }


def _checked(body: bytes, schema: str) -> Any:
    value = json.loads(body)
    for error in validator(schema).iter_errors(value):
        raise Refusal(400, f"The request is not valid: {error.message[:80]}.")
    return value


def _shown(booking: dict[str, Any], world: World) -> dict[str, Any]:
    photos = [_photo_shown(photo, world) for photo in booking["photos"].values()]
    states = {photo["state"] for photo in photos}
    state = next((one for one in ("enrolled", "received", "rejected") if one in states), "awaiting_photo")
    return {**booking, "photos": photos, "state": state}


def _photo_shown(photo: dict[str, Any], world: World) -> dict[str, Any]:
    shown = {"photo_id": photo["photo_id"], "view": photo["view"]}
    if "arrived" not in photo:
        return shown | {"state": "awaiting_upload"}
    if time.monotonic() - photo["arrived"] < world.enrol_after:
        return shown | {"state": "received"}
    if photo["rejected"]:
        return shown | {"state": "rejected", "reason": "NO_FACE", "sentence": "No face was found."}
    return shown | {"state": "enrolled"}


def _shape(path: str) -> str:
    """A path with ids left out, for counting."""
    return "/".join("{id}" if len(part) in {36, 64} else part for part in path.split("/"))
