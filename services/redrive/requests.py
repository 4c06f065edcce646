"""What the function takes: one operation, and the cursor that its last answer gave."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from candid.forms import of_form, printable
from candid.gallery.dead_letters.letters import Way
from candid.http import invoked
from candid.http.invoked import Step

LetterId = Annotated[str, of_form("[A-Za-z0-9-]{1,100}", "a letter's id: 1 to 100 of A-Z, a-z, 0-9 and -")]
Letters = Annotated[list[LetterId], Field(min_length=1, max_length=100)]
Why = Annotated[str, StringConstraints(min_length=3, max_length=200), AfterValidator(printable)]


class List(invoked.Request):
    """The letters, of one way or of all."""

    operation: Literal["list"]
    way: Way | None = None


class Dropped(invoked.Request):
    """What was dropped, and why."""

    operation: Literal["dropped"]


class Show(invoked.Request):
    """One letter."""

    operation: Literal["show"]
    letter: LetterId


class Start(Step):
    """Redrive ``letters``; without them all, of one way or of every."""

    operation: Literal["start"]
    letters: Letters | None = None
    way: Way | None = None


class Drop(Step):
    """Remove ``letters`` for good."""

    operation: Literal["drop"]
    letters: Letters
    reason: Why


Request = Annotated[List | Dropped | Show | Start | Drop, Field(discriminator="operation")]
_ANY: TypeAdapter[Request] = TypeAdapter(Request)


def read(event: Any) -> Request:
    """The request in an invocation's payload. Raises ``InvalidRequest``, whose sentence holds nothing of what was sent."""
    return invoked.read(_ANY, event)
