"""The operations of the contract, and the functions that answer them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from casework import app as casework_app
from ingest import app as ingest_app
from search import app as search_app
from tests.contract.openapi import document

HANDLERS: Final = {"ingest": ingest_app.handler, "casework": casework_app.handler, "search": search_app.handler}
_METHODS: Final = {"get", "post", "patch", "delete", "put"}


@dataclass(frozen=True)
class Operation:
    """One of the contract."""

    id: str
    method: str
    path: str
    function: str


OPERATIONS: Final = [
    Operation(told["operationId"], method.upper(), path, told["x-candid-function"])
    for path, methods in document()["paths"].items()
    for method, told in methods.items()
    if method in _METHODS
]
_ROUTES: Final = [
    (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(one.path))), one) for one in OPERATIONS
]


def operation_of(method: str, path: str) -> tuple[Operation, re.Match[str]] | None:
    """The operation that a request is of, with the parameters in its path."""
    for pattern, one in _ROUTES:
        if one.method == method and (match := pattern.fullmatch(path)):
            return one, match
    return None
