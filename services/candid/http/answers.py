"""Members of answers that several functions share, as ``infra/api/openapi.yaml`` says."""

from __future__ import annotations

from typing import Any

from candid.storage import UploadLink
from candid.tables import timestamp


def upload(link: UploadLink) -> dict[str, Any]:
    """A presigned POST."""
    return {
        "url": link.url,
        "fields": link.fields,
        "expires_at": timestamp(link.expires_at),
        "max_bytes": link.max_bytes,
    }


def present(**members: Any) -> dict[str, Any]:
    """The members that are there."""
    return {name: value for name, value in members.items() if value is not None}
