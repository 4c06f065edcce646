"""What can go wrong between the command line and the API, one class a failure that a command tells apart.

``from_answer`` turns a refusal (RFC 9457 problem+json) into its class; its sentence is the problem's ``detail``.
"""

from __future__ import annotations

import json
from typing import Any, Final

from candid.errors import CandidError

_KEPT_APART: Final = {"type", "title", "status", "detail"}


class NotConfigured(CandidError):
    """It is not known where the API is, or who asks."""


class Unreachable(CandidError):
    """Nothing answers at the API's address, or the connection broke each time."""


class Stopped(CandidError):
    """Somebody asked to stop while the client waited to try again."""


class Refused(CandidError):
    """The API said no. ``status`` is the HTTP status, ``kind`` the last word of the problem's type."""

    def __init__(self, sentence: str, *, status: int, kind: str = "", **members: Any) -> None:
        super().__init__(sentence, **members)
        self.status = status
        self.kind = kind


class NotAuthenticated(Refused):
    """401: no token, or one that is not valid now."""


class NotAllowed(Refused):
    """403: the roles or the policy do not allow it."""


class NotThere(Refused):
    """404: no such thing that the caller may see."""


class Contradiction(Refused):
    """409: what is stored says otherwise."""


class Busy(Refused):
    """429 or 5xx: not the caller's fault, and trying again did not help."""


class UploadRefused(CandidError):
    """Object storage did not take an upload. ``code`` is its word for why."""

    def __init__(self, sentence: str, *, status: int, code: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code

    @property
    def wants_fresh_link(self) -> bool:
        """Whether another link may help: this one has ended, or its signature's credentials have."""
        return self.status == 403 or self.code in {"ExpiredToken", "RequestTimeTooSkewed"}


_BY_STATUS: Final[dict[int, type[Refused]]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotThere,
    409: Contradiction,
    429: Busy,
}


def from_answer(status: int, body: bytes) -> Refused:
    """The refusal that an answer of ``status`` (400 to 599) holds; without a problem document a sentence that says so."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    return from_document(document, status)


def from_document(document: dict[str, Any], status: int) -> Refused:
    """The refusal that a problem document (or what stands in for one) holds."""
    detail = document.get("detail") or document.get("message")
    if not isinstance(detail, str) or not detail:
        detail = f"The server answered with status {status} and did not say why."
    instance = document.get("instance")
    if status >= 500 and isinstance(instance, str):
        detail = f"{detail} (instance {instance})"
    members = {name: value for name, value in document.items() if name not in _KEPT_APART}
    for own in ("sentence", "kind"):
        members.pop(own, None)
    cls = _BY_STATUS.get(status, Busy if status >= 500 else Refused)
    return cls(detail, status=status, kind=str(document.get("type", "")).rsplit(":", 1)[-1], **members)
