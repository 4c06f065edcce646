"""What the casework routes take, as ``infra/api/openapi.yaml`` says."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from candid.casework.cases import CaseState, NewCase
from candid.gallery.fields import Label
from candid.http.kinds import ContentType, Cursor, Id


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseRequest(_Request):
    """A case to open."""

    number: Label
    purpose: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    legal_basis: Annotated[str, StringConstraints(min_length=1, max_length=1024, strip_whitespace=True)]

    def to_domain(self) -> NewCase:
        """As the rules have it."""
        return NewCase(self.number, self.purpose, self.legal_basis)


class ProbeRequest(_Request):
    """A probe that will be uploaded."""

    content_type: ContentType


class CaseQuery(_Request):
    """Filters of a listing of cases; query parameters are text."""

    state: CaseState | None = None
    officer: Label | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Cursor | None = None


class SearchQuery(_Request):
    """Filters of a listing of searches."""

    case_id: Id | None = None
    officer: Label | None = None
    searched_from: AwareDatetime | None = None
    searched_before: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Cursor | None = None
