"""Kinds of members that several functions' requests share, as ``infra/api/openapi.yaml`` says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from candid.access.principal import AGENCY
from candid.forms import of_form

Id = Annotated[
    str, of_form("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "an id: a UUID in lower case")
]
AgencyName = Annotated[
    str, of_form(AGENCY.pattern, "an agency's name: 2 to 64 of a-z, 0-9 and hyphens, with no hyphen at either end")
]
CollectionName = Annotated[
    str, of_form(r"[a-zA-Z0-9_.\-]{1,255}", "a collection's name: 1 to 255 of a-z, A-Z, 0-9, _, . and -")
]
Limit = Annotated[int, Field(ge=1, le=100)]
LegalBasis = Annotated[str, StringConstraints(min_length=1, max_length=1024, strip_whitespace=True)]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
ContentType = Literal["image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/heic", "image/jp2"]
