"""What the function takes: one operation, and the cursor that its last answer gave."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from candid.errors import InvalidRequest
from candid.http.kinds import CollectionName

Shards = Annotated[int, Field(ge=1, le=1024, strict=True)]
Replicas = Annotated[int, Field(ge=0, le=10, strict=True)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
AgencyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])$")]
IndexName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,254}$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Step(_Request):
    cursor: dict[str, Any] | None = None


class Status(_Request):
    """What there is."""

    operation: Literal["status"]


class Create(_Request):
    """Make the first index, for the model of the stack's parameter."""

    operation: Literal["create"]
    shards: Shards = 1
    replicas: Replicas | None = None


class Reembed(_Step):
    """Make and fill an index that stands by, for ``model``."""

    operation: Literal["reembed"]
    model: ModelName
    shards: Shards | None = None
    replicas: Replicas | None = None


class Swap(_Step):
    """Let ``index`` serve, which stands by; nothing where it serves already, so that a request that is sent twice is no way back.
    ``unchecked``: without first comparing it with the table."""

    operation: Literal["swap"]
    index: IndexName
    unchecked: bool = False


class Drop(_Request):
    """Delete an index that does not serve."""

    operation: Literal["drop"]
    index: IndexName


class Verify(_Step):
    """Compare table, indexes and bucket; with ``repair`` bring them together."""

    operation: Literal["verify"]
    repair: bool = False


class Purge(_Step):
    """Force what is deleted out of the files."""

    operation: Literal["purge"]


class Own(_Step):
    """Give a collection an index of its own."""

    operation: Literal["own"]
    agency: AgencyName
    collection: CollectionName
    shards: Shards = 3
    replicas: Replicas | None = None


class Roles(_Request):
    """Tell OpenSearch what each function may do. The roles function's one request."""

    operation: Literal["roles"]


Request = Annotated[Status | Create | Reembed | Swap | Drop | Verify | Purge | Own, Field(discriminator="operation")]
_ANY: TypeAdapter[Request] = TypeAdapter(Request)
_ROLES = TypeAdapter(Roles)
_R = TypeVar("_R")


def read(event: Any) -> Request:
    """The request in an invocation's payload. Raises ``InvalidRequest``, whose sentence holds nothing of what was sent."""
    return _read(_ANY, event)


def read_roles(event: Any) -> Roles:
    """The same for the roles function."""
    return _read(_ROLES, event)


def _read(adapter: TypeAdapter[_R], event: Any) -> _R:
    try:
        return adapter.validate_python(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the payload"
        raise InvalidRequest(f"The request is not valid at {where} ({first['type']}).") from None
