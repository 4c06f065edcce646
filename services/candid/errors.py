"""Every failure that a caller can tell apart, one class each, with the sentence that a user reads.

Not here: HTTP statuses or queue behaviour. The edges map classes to those in one table (``candid.http.problem``).

A sentence never holds a pixel, a template, a name, a booking number or a subject id: sentences reach logs. ``members`` are
further facts for the caller alone (RFC 9457 extension members); they are never logged.
"""

from __future__ import annotations

from typing import Any


class CandidError(Exception):
    """Base of all. ``str(error)`` is the sentence for the user; ``members`` are extra facts for the answer."""

    def __init__(self, sentence: str, **members: Any) -> None:
        super().__init__(sentence)
        self.members = members


class InvalidRequest(CandidError):
    """A request that is wrong in itself: a member missing, out of range, or of the wrong kind."""


class UnsupportedMediaType(CandidError):
    """A body of a kind that the operation does not read."""


class NotAuthenticated(CandidError):
    """No token, or one that is not valid now."""


class Forbidden(CandidError):
    """The caller is known and may not do this."""


class PolicyRefusal(Forbidden):
    """``policy.toml`` forbids it (a purpose without approval, a live source); ``members['policy']`` names the rule."""


class NotFound(CandidError):
    """No such thing, or none that the caller may see: the same sentence for both."""


class Conflict(CandidError):
    """The request contradicts what is stored (booking number taken, case closed, Idempotency-Key reused)."""


class PhotoRefused(CandidError):
    """Base of all that can be wrong with one photo. ``reason`` is its word in records and answers."""

    reason = "PHOTO_REFUSED"


class ImageUnreadable(PhotoRefused):
    """Bytes that are no image, or a damaged one."""

    reason = "IMAGE_UNREADABLE"


class ImageFormatUnsupported(PhotoRefused):
    """An image, but of a kind that Candid does not decode."""

    reason = "IMAGE_FORMAT_UNSUPPORTED"


class ImageTooLarge(PhotoRefused):
    """More bytes or pixels than the limit; found before any pixel is decoded."""

    reason = "IMAGE_TOO_LARGE"


class ImageTooSmall(PhotoRefused):
    """Fewer pixels than a face needs."""

    reason = "IMAGE_TOO_SMALL"


class NoFace(PhotoRefused):
    """The detector found no face."""

    reason = "NO_FACE"


class SeveralFaces(PhotoRefused):
    """More than one face and no rule to choose by; ``members['faces']`` lists the boxes."""

    reason = "SEVERAL_FACES"


class LowFaceQuality(PhotoRefused):
    """The face is there but not fit; ``members['reasons']`` lists Rekognition's words with the measured values."""

    reason = "LOW_FACE_QUALITY"


class UnknownModel(CandidError):
    """A model name that the registry does not know."""


class ModelUnavailable(CandidError):
    """The model is known, but its library or weights are missing or damaged on this machine."""


class LimitReached(CandidError):
    """A user or an agency has made as many requests as it may; ``seconds`` until it may go on."""

    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class DependencyUnavailable(CandidError):
    """A store, a bus or the index does not answer now; the same request may succeed later."""


class IndexDamaged(DependencyUnavailable):
    """The embedded index file can't be read; templates can be made again from the photos."""
