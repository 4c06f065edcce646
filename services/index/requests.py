"""What the function takes: one operation, and the cursor that its last answer gave."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from candid.forms import of_form
from candid.http import invoked
from candid.http.invoked import Step
from candid.http.kinds import AgencyName, CollectionName

Shards = Annotated[int, Field(ge=1, le=1024, strict=True)]
Replicas = Annotated[int, Field(ge=0, le=10, strict=True)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
IndexName = Annotated[
    str,
    of_form(
        r"[a-z0-9][a-z0-9_.-]{0,254}", "an index's name: 1 to 255 of a-z, 0-9, _, . and -, the first a letter or digit"
    ),
]


class Status(invoked.Request):
    """What there is."""

    operation: Literal["status"]


class Create(invoked.Request):
    """Make the first index, for the model of the stack's parameter."""

    operation: Literal["create"]
    shards: Shards = 1
    replicas: Replicas | None = None


class Reembed(Step):
    """Make and fill an index that stands by, for ``model``."""

    operation: Literal["reembed"]
    model: ModelName
    shards: Shards | None = None
    replicas: Replicas | None = None


class Swap(Step):
    """Let ``index`` serve, which stands by; nothing where it serves already, so that a request that is sent twice is no way back.
    ``unchecked``: without first comparing it with the table."""

    operation: Literal["swap"]
    index: IndexName
    unchecked: bool = False


class Drop(invoked.Request):
    """Delete an index that does not serve."""

    operation: Literal["drop"]
    index: IndexName


class Verify(Step):
    """Compare table, indexes and bucket; with ``repair`` bring them together."""

    operation: Literal["verify"]
    repair: bool = False


class Purge(Step):
    """Force what is deleted out of the files."""

    operation: Literal["purge"]


class Own(Step):
    """Give a collection an index of its own."""

    operation: Literal["own"]
    agency: AgencyName
    collection: CollectionName
    shards: Shards = 3
    replicas: Replicas | None = None


class Roles(invoked.Request):
    """Tell OpenSearch what each function may do. The roles function's one request."""

    operation: Literal["roles"]


Request = Annotated[Status | Create | Reembed | Swap | Drop | Verify | Purge | Own, Field(discriminator="operation")]
_ANY: TypeAdapter[Request] = TypeAdapter(Request)
_ROLES = TypeAdapter(Roles)


def read(event: Any) -> Request:
    """The request in an invocation's payload. Raises ``InvalidRequest``, whose sentence holds nothing of what was sent."""
    return invoked.read(_ANY, event)


def read_roles(event: Any) -> Roles:
    """The same for the roles function."""
    return invoked.read(_ROLES, event)
