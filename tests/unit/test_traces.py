"""No function puts an exception's text or its answer into a trace."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[2] / "services"
HANDLERS = sorted(
    path
    for path in SERVICES.glob("*/*.py")
    if path.parent.name != "candid" and "capture_lambda_handler" in path.read_text()
)


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_trace_holds_neither_what_a_function_answers_nor_what_an_exception_says(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "capture_lambda_handler"
    ]
    assert calls
    for call in calls:
        told = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
        assert told == {"capture_response": False, "capture_error": False}


def test_every_function_is_looked_at() -> None:
    assert {path.parent.name for path in HANDLERS} == {
        "authorizer",
        "casework",
        "embed",
        "index",
        "ingest",
        "redrive",
        "rekognition",
        "search",
    }
