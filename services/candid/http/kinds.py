"""Kinds of members that several functions' requests share, as ``infra/api/openapi.yaml`` says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from candid.access.principal import AGENCY

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z")]
AgencyName = Annotated[str, StringConstraints(pattern=rf"^{AGENCY.pattern}\z")]
CollectionName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.\-]+\z")]
Limit = Annotated[int, Field(ge=1, le=100)]
LegalBasis = Annotated[str, StringConstraints(min_length=1, max_length=1024, strip_whitespace=True)]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
ContentType = Literal["image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/heic", "image/jp2"]
