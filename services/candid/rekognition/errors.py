"""The one table from Candid's failures to Rekognition's exceptions, and how an exception is answered.

An answer is JSON 1.1's: ``__type`` is the exception's name, which an SDK raises; ``message`` is the sentence. The status is
400, or 500 where the model calls it the service's own fault. What an operation's model does not list becomes the nearest that
it does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from botocore.model import OperationModel

from candid import errors, idempotency
from candid.access import signatures
from candid.casework import credentials
from candid.gallery import collections, users
from candid.http import problem
from candid.rekognition import contract

INTERNAL: Final = "InternalServerError"
_AUTHENTICATION: Final = (
    (credentials.ExpiredToken, "ExpiredTokenException"),
    (credentials.UnknownToken, "UnrecognizedClientException"),
    (signatures.NoSignature, "MissingAuthenticationTokenException"),
    (signatures.ForeignCredentials, "UnrecognizedClientException"),
    (signatures.IncompleteSignature, "IncompleteSignatureException"),
    (signatures.InvalidSignature, "InvalidSignatureException"),
)
"""Not in any operation's model: what every AWS service answers before it looks at the operation."""


class UnreadableToken(errors.InvalidRequest):
    """A pagination token that this listing did not give out."""


class UnreadableObject(errors.InvalidRequest):
    """An S3 object that is not there, may not be read, or lies nowhere that the agency has registered."""


class Refused(errors.Forbidden):
    """An operation that Candid does not offer, by policy or not yet."""


_TABLE: Final = (
    *_AUTHENTICATION,
    (contract.UnknownOperation, "UnknownOperationException"),
    (contract.Unreadable, "SerializationException"),
    (UnreadableToken, "InvalidPaginationTokenException"),
    (UnreadableObject, "InvalidS3ObjectException"),
    (errors.InvalidRequest, "InvalidParameterException"),
    (errors.NotAuthenticated, "UnrecognizedClientException"),
    (errors.Forbidden, "AccessDeniedException"),
    (errors.NotFound, "ResourceNotFoundException"),
    (collections.CollectionExists, "ResourceAlreadyExistsException"),
    (idempotency.KeyReused, "IdempotentParameterMismatchException"),
    (collections.TooManyTags, "ServiceQuotaExceededException"),
    (users.TooManyFaces, "ServiceQuotaExceededException"),
    (users.UserConflict, "ConflictException"),
    (errors.Conflict, "AccessDeniedException"),
    (errors.ImageTooLarge, "ImageTooLargeException"),
    (errors.ImageFormatUnsupported, "InvalidImageFormatException"),
    (errors.ImageUnreadable, "InvalidImageFormatException"),
    (errors.PhotoRefused, "InvalidParameterException"),
    (errors.LimitReached, "ProvisionedThroughputExceededException"),
    (errors.ModelUnavailable, INTERNAL),
    (errors.DependencyUnavailable, "ThrottlingException"),
)
_COMMON: Final = frozenset(
    {name for _, name in _AUTHENTICATION} | {"UnknownOperationException", "SerializationException"}
)
_INSTEAD: Final = "InvalidParameterException"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as it is answered. ``retry_after`` in seconds, None where waiting is of no use."""

    name: str
    status: int
    sentence: str
    retry_after: int | None = None

    def body(self) -> str:
        """As JSON 1.1 has it."""
        return json.dumps({"__type": self.name, "message": self.sentence}, ensure_ascii=False, separators=(",", ":"))


def failure(error: errors.CandidError, asked: OperationModel | None = None) -> Failure:
    """What ``error`` is answered with, by the operation that was asked for, where that is known."""
    name = next((name for cls in type(error).__mro__ for row, name in _TABLE if row is cls), INTERNAL)
    if asked is not None and name not in contract.errors_of(asked) | _COMMON:
        name = _INSTEAD if _INSTEAD in contract.errors_of(asked) else "AccessDeniedException"
    return Failure(name, 500 if contract.is_fault(name) else 400, str(error), problem.retry_after(error))


def unforeseen(instance: str) -> Failure:
    """What a failure that Candid did not foresee is answered with. It says nothing of the failure itself."""
    return Failure(INTERNAL, 500, str(problem.internal(instance)["detail"]) + f" ({instance})")
