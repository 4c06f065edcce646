"""What the members of a booking's record may hold, wherever they come from: a request, a manifest, an object's metadata."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from candid.forms import of_form, printable
from candid.moments import Moment
from candid.tables import now

MAX_FIELDS: Final = 32
"""An agency's own fields of one booking."""
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)


def _plausible(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= now() + timedelta(days=1):
        raise ValueError("must lie between 1900 and tomorrow")
    return moment


Label = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(printable)]
FieldName = Annotated[str, of_form(r"[a-z0-9_\-]{1,64}", "a field's name: 1 to 64 of a-z, 0-9, _ and -")]
FieldValue = Annotated[str, StringConstraints(max_length=1024)]
Fields = Annotated[dict[FieldName, FieldValue], Field(max_length=MAX_FIELDS)]
BookedAt = Annotated[Moment, AfterValidator(_plausible)]
