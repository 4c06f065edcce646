"""A local Candid of the tests' own: real template, real events, real functions, in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from infra.local.aws import client
from infra.local.places import CHECKOUT

from candid.access.principal import Role
from candid.cli.answers import Booking
from candid.cli.api import Api
from candid.cli.client import Client
from candid.cli.problems import Refused
from candid.cli.tokens import LocalTokens
from tests import opensearch

SAMPLES = CHECKOUT / ".candid" / "samples"
BOOKED_AT = "2026-03-01T08:00:00Z"

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def eventually(look: Callable[[], T | None], seconds: float = 60.0) -> T:
    """What ``look`` finds once it finds something; fails the test if it never does."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"Nothing after {seconds} seconds."
        time.sleep(0.1)


@dataclass
class Stack:
    """One local Candid; ``up`` starts it (again), ``stop`` ends it."""

    root: Path
    environment: dict[str, str]

    @classmethod
    def at(cls, root: Path, index: str) -> Stack:
        """In ``root``, on free ports, with the index ``embedded`` or ``opensearch``; not started."""
        aws_port, faces_port, rekognition_port = free_ports(3)
        temporary = root / "tmp"
        temporary.mkdir(exist_ok=True)
        ours = {
            "TMPDIR": str(temporary),
            "CANDID_HOME": str(root / ".candid"),
            "CANDID_AWS_PORT": str(aws_port),
            "CANDID_FACES_PORT": str(faces_port),
            "CANDID_REKOGNITION_PORT": str(rekognition_port),
            "CANDID_OPENSEARCH_PORT": str(opensearch.free_port()),
            "INDEX": index,
            "OPENSEARCH_HEAP": "512m",
            # A node that lives for seconds is up in half the time without Java's second compiler.
            "OPENSEARCH_JAVA_OPTS": "-XX:TieredStopAtLevel=1",
            "DETACH": "1",
            "DEMO": "0",
        }
        foreign = ("AWS_", "CANDID_", "MODEL", "INDEX", "OPENSEARCH")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return cls(root, kept | ours)

    def command(self, word: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """``python -m infra.local WORD``, finished."""
        return subprocess.run(
            [sys.executable, "-m", "infra.local", word],
            cwd=CHECKOUT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def up(self, **variables: str) -> str:
        """Start it; what it said."""
        done = self.command("up", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        """End it."""
        done = self.command("stop")
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def told(self) -> dict[str, Any]:
        """``local.json``."""
        told: dict[str, Any] = json.loads((self.root / ".candid" / "local.json").read_text())
        return told

    def tokens(self, agency: str, *roles: Role, keys: Path | None = None, user: str = "tester") -> LocalTokens:
        """Tokens of somebody of ``agency``."""
        told = self.told
        everything = frozenset(roles or (Role.RECORDS, Role.INVESTIGATOR))
        return LocalTokens(told["issuer"], keys or Path(told["keys"]), agency, user, everything)

    def api(self, agency: str, *roles: Role) -> Api:
        """The API as somebody of ``agency``."""
        return Api(Client(self.told["api_url"], self.tokens(agency, *roles)))

    def ask(self, method: str, path: str, token: str | None, body: Any = None) -> urllib3.BaseHTTPResponse:
        """One request as it is, without retries; ``body`` as JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.told["api_url"] + path
        return urllib3.request(method, url, headers=headers, json=body, retries=False, timeout=40)

    def aws(self, service: str) -> Any:
        """A client of the local AWS."""
        return client(self.told["aws_endpoint_url"], service)

    @property
    def photos_bucket(self) -> str:
        """The photos bucket's name."""
        return str(self.told["outputs"]["PhotosBucketName"])

    def book(self, api: Api, photo: bytes, *, subject: str = "somebody", number: str | None = None) -> str:
        """Register a booking and upload its photo by the link; the booking's id."""
        number = number or f"E2E-{uuid.uuid4().hex[:10]}"
        item = api.register_bookings(
            [
                {
                    "booking_number": number,
                    "subject_id": subject,
                    "booked_at": BOOKED_AT,
                    "photos": [{"content_type": "image/jpeg"}],
                }
            ]
        )[0]
        assert item.booking is not None, item.problem
        upload = item.booking.photos[0].upload
        assert upload is not None
        api.client.upload(upload.url, upload.fields, photo)
        return item.booking.booking_id

    def settled(self, api: Api, booking_id: str) -> Booking:
        """The booking once its photo is enrolled or rejected."""

        def look() -> Booking | None:
            try:
                booking = api.booking(booking_id)
            except Refused:
                return None  # A direct drop has no record before its event has arrived.
            return booking if booking.state in {"enrolled", "rejected"} else None

        try:
            return eventually(look)
        except AssertionError as late:
            logs = self.root / ".candid" / "logs"
            said = [
                f"The end of {log}:\n{(logs / log).read_text()[-4000:]}" for log in ("faces.log", "candid-embed.log")
            ]
            raise AssertionError("\n".join([str(late), *said])) from None


def portrait(name: str) -> bytes:
    """One of the sample portraits."""
    return (SAMPLES / name).read_bytes()
