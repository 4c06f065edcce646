"""RFC 9457 problem documents: the one table from a failure to a status, a type and a title."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from candid import errors

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Kind:
    """What every problem of one kind shares. ``urn:candid:problem:<slug>`` is its type."""

    status: int
    slug: str
    title: str


_TABLE: Final[tuple[tuple[type[errors.CandidError], Kind], ...]] = (
    (errors.InvalidRequest, Kind(400, "invalid-request", "The request is not valid")),
    (errors.NotAuthenticated, Kind(401, "not-authenticated", "Who asks is not known")),
    (errors.PolicyRefusal, Kind(403, "refused-by-policy", "The policy does not allow this")),
    (errors.Forbidden, Kind(403, "forbidden", "Not allowed")),
    (errors.NotFound, Kind(404, "not-found", "Not found")),
    (errors.Conflict, Kind(409, "conflict", "The request contradicts what is stored")),
    (errors.ImageTooLarge, Kind(413, "image-too-large", "The image is too large")),
    (errors.ImageFormatUnsupported, Kind(415, "image-format-unsupported", "The image is of a kind that is not read")),
    (errors.UnsupportedMediaType, Kind(415, "unsupported-media-type", "The body is of a kind that is not read")),
    (errors.PhotoRefused, Kind(422, "photo-refused", "The image can't be used")),
    (errors.LimitReached, Kind(429, "limit-reached", "As many requests as are allowed")),
    (errors.ModelUnavailable, Kind(503, "model-unavailable", "The model is not available")),
    (errors.DependencyUnavailable, Kind(503, "dependency-unavailable", "Try again later")),
)
_INTERNAL: Final = Kind(500, "internal", "Something went wrong in Candid")


def kind_of(error: errors.CandidError) -> Kind:
    """The kind of ``error``: its own row, or its nearest base's."""
    for cls in type(error).__mro__:
        for row, kind in _TABLE:
            if row is cls:
                return kind
    return _INTERNAL


def document(error: errors.CandidError, instance: str | None = None) -> dict[str, Any]:
    """The problem document of ``error``. ``instance`` names the request, for whoever looks it up in the log."""
    kind = kind_of(error)
    members: dict[str, Any] = dict(error.members)
    if isinstance(error, errors.PhotoRefused):
        members.setdefault("reason", error.reason)
    members |= {
        "type": f"urn:candid:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": str(error),
    }
    if instance:
        members["instance"] = instance
    return members


def retry_after(error: errors.CandidError) -> int | None:
    """Seconds after which the same request may succeed; None where waiting is of no use."""
    if isinstance(error, errors.LimitReached):
        return error.seconds
    return RETRY_AFTER_SECONDS if kind_of(error).status == 503 else None


def internal(instance: str | None) -> dict[str, Any]:
    """The document for a failure that Candid did not foresee. It says nothing of the failure itself."""
    sentence = (
        "Candid failed at this request, and nothing you sent is at fault. Give your administrator the instance below."
    )
    return {
        "type": f"urn:candid:problem:{_INTERNAL.slug}",
        "title": _INTERNAL.title,
        "status": _INTERNAL.status,
        "detail": sentence,
        **({"instance": instance} if instance else {}),
    }
