"""The published contract: a valid OpenAPI 3.1 document whose routes are those that the functions answer."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contract.openapi import document

SERVICES = Path(__file__).parents[2] / "services"
FUNCTIONS = ("ingest", "casework", "search")
BUILT = tuple(name for name in FUNCTIONS if (SERVICES / name / "app.py").is_file())


def _routes(function: str) -> set[tuple[str, str]]:
    """Method and path of every route in a function's edge, in the contract's notation."""
    os.environ.setdefault("POWERTOOLS_TRACE_DISABLED", "true")
    api = importlib.import_module(f"{function}.app").edge.api
    return {
        (route.method, re.sub(r"<(\w+)>", r"{\1}", route.path)) for route in api._static_routes + api._dynamic_routes
    }


def _promised(function: str) -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and operation["x-candid-function"] == function
    }


def test_the_contract_is_a_valid_openapi_document() -> None:
    assert document()["openapi"].startswith("3.1")
    assert not list(OpenAPIV31SpecValidator(document()).iter_errors())


def test_every_operation_names_a_function_and_has_an_id_of_its_own() -> None:
    operations = [o for item in document()["paths"].values() for method, o in item.items() if method != "parameters"]
    assert {operation["x-candid-function"] for operation in operations} == set(FUNCTIONS)
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))


def test_every_operation_says_how_it_refuses() -> None:
    for item in document()["paths"].values():
        for method, operation in item.items():
            if method != "parameters":
                assert {"401", "403", "503"} <= set(operation["responses"])


@pytest.mark.parametrize("function", BUILT)
def test_a_function_answers_the_routes_that_the_contract_promises_and_no_others(function: str) -> None:
    assert _routes(function) == _promised(function)
