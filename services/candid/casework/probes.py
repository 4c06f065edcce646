"""Probes: the photos searched with. They lie in a bucket of their own, are never enrolled, and expire."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from candid import storage
from candid.errors import NotFound
from candid.storage import UploadLink

NO_SUCH_PROBE: Final = (
    "There is no such probe: it was not uploaded, or it has expired. Get an upload link with POST /v1/probes, "
    "and upload it by that."
)


@dataclass(frozen=True, slots=True)
class Probes:
    """The use cases over the probes bucket. A probe belongs to one agency: its key begins with it."""

    bucket: str

    def link(self, agency: str, content_type: str) -> tuple[str, UploadLink]:
        """A new probe's id, and the link to upload it by."""
        probe_id = str(uuid.uuid4())
        return probe_id, storage.upload_link(self.bucket, _key(agency, probe_id), content_type)

    def read(self, agency: str, probe_id: str) -> bytes:
        """The bytes of an uploaded probe. Raises ``NotFound`` (not uploaded, expired, or another agency's), ``ImageTooLarge``."""
        stored = storage.read_current(self.bucket, _key(agency, probe_id))
        if stored is None:
            raise NotFound(NO_SUCH_PROBE)
        return stored.data

    def keep(self, agency: str, data: bytes, content_type: str) -> str:
        """Store a probe that came with its request, so that an examiner can see what was searched; its id."""
        probe_id = str(uuid.uuid4())
        storage.put(self.bucket, _key(agency, probe_id), data, content_type)
        return probe_id


def _key(agency: str, probe_id: str) -> str:
    return f"{agency}/{probe_id}"
