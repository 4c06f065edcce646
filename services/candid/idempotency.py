"""Idempotency-Key: the claim that makes a repeated request the same request.

The claim is one more write of the transaction that does the work, so a process killed in between leaves both or neither.
(A decorator that stores answers, as Powertools has it, writes before and after the work and can be killed between; and
an answer of ours holds links that expire.)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from candid import aws
from candid.aws import dependency
from candid.errors import Conflict, InvalidRequest
from candid.tables import Item, from_item, key, to_item

LIFETIME_SECONDS: Final = 24 * 3600


class KeyReused(Conflict):
    """A key that served another request."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One caller's key for one operation, and the digest of what was asked. ``name`` is what the caller knows the key by."""

    pk: str
    digest: str
    name: str = "Idempotency-Key"

    @classmethod
    def of(cls, header: str | None, agency: str, user: str, operation: str, request: bytes) -> Claim | None:
        """The claim of a request; None without the header. Raises ``InvalidRequest`` for a header out of bounds."""
        if header is None:
            return None
        if not 1 <= len(header) <= 128 or not all("\x21" <= char <= "\x7e" for char in header):
            raise InvalidRequest(
                "Idempotency-Key must be 1 to 128 printable ASCII characters without spaces. Send a UUID, for instance."
            )
        mark = sha256("\0".join((agency, user, operation, header)).encode()).hexdigest()
        return cls(f"I#{agency}#{mark}", sha256(request).hexdigest())

    def write(self, table: str, result_id: str) -> Any:
        """The transaction's write: claim the key for ``result_id``, unless somebody has."""
        item = {
            "pk": self.pk,
            "sk": "IDEMPOTENCY",
            "digest": self.digest,
            "result_id": result_id,
            "expires_at": int(time.time()) + LIFETIME_SECONDS,
        }
        # DynamoDB deletes expired items late; an expired claim is no claim.
        return {
            "Put": {
                "TableName": table,
                "Item": to_item(item),
                "ConditionExpression": "attribute_not_exists(pk) OR expires_at < :now",
                "ExpressionAttributeValues": {":now": {"N": str(int(time.time()))}},
            }
        }

    def earlier_result(self, table: str) -> str | None:
        """The id that this very request made before; None if it is new. Raises ``KeyReused``."""
        with dependency("its table"):
            answer = aws.dynamodb().get_item(TableName=table, Key=key(self.pk, "IDEMPOTENCY"), ConsistentRead=True)
        if "Item" not in answer:
            return None
        item: Item = from_item(answer["Item"])
        if item["expires_at"] < time.time():
            return None
        if item["digest"] != self.digest:
            raise KeyReused(f"This {self.name} was used for another request. Use a new one for a new request.")
        return str(item["result_id"])
