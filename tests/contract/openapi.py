"""Checks answers against the published contract, infra/api/openapi.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

PATH = Path(__file__).parents[2] / "infra" / "api" / "openapi.yaml"


@cache
def document() -> dict[str, Any]:
    """The contract."""
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text())
    return loaded


@cache
def validator(schema: str) -> Draft202012Validator:
    """A validator of ``components/schemas/<schema>``."""
    registry = Registry().with_resource("urn:candid", Resource(document(), DRAFT202012))
    reference = {"$ref": f"urn:candid#/components/schemas/{schema}"}
    return Draft202012Validator(reference, registry=registry, format_checker=FormatChecker())


def conforms(body: Any, schema: str) -> bool:
    """Raise ``ValidationError`` unless ``body`` is a ``schema``; members that the contract does not know fail too."""
    validator(schema).validate(body)
    known = document()["components"]["schemas"][schema].get("properties", {})
    extra = set(body) - set(known) if schema != "Problem" else set()
    assert not extra, f"{schema} has members that the contract does not know: {extra}"
    return True
