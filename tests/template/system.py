"""template.yaml as CloudFormation sees it: the API's document included, then SAM's transform, as on AWS and on the local AWS."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

CHECKOUT = Path(__file__).parents[2]
TEMPLATE = CHECKOUT / "template.yaml"
FUNCTIONS = ("authorizer", "ingest", "casework", "search", "rekognition", "embed", "index", "redrive", "roles")
ZIPS = ("authorizer", "ingest", "casework", "redrive")
IMAGES = ("search", "rekognition", "embed", "index", "roles")
BEHIND_THE_API = ("authorizer", "ingest", "casework", "search")
BEHIND_AN_API = (*BEHIND_THE_API, "rekognition")
QUEUES = (
    "PhotosQueue",
    "PhotosDeadLetterQueue",
    "PhotosRuleDeadLetterQueue",
    "ChangesDeadLetterQueue",
    "EventsDeadLetterQueue",
)
DEAD_LETTER_QUEUES = QUEUES[1:]

DOMAIN = "arn:${AWS::Partition}:es:${AWS::Region}:${AWS::AccountId}:domain/"
DOMAIN_REQUESTS = {
    "Fn::If": [
        "CreatesDomain",
        {"Fn::Sub": DOMAIN + "${AWS::StackName}-index/*"},
        {"Fn::Sub": DOMAIN + "${OpenSearchDomainName}/*"},
    ]
}
"""Requests to the domain: this stack's, or the one that a parameter names."""

Resource = dict[str, Any]


class _NoManagedPolicies:
    """SAM looks names of managed policies up; every policy here is written out or named by ARN."""

    def load(self) -> dict[str, str]:
        return {}


@cache
def template() -> dict[str, Any]:
    """As written, short forms (``!Ref``) spelled out."""
    written: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    return written


@cache
def transformed() -> dict[str, Any]:
    """As deployed."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    whole: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    for resource in whole["Resources"].values():
        properties = resource["Properties"]
        if "CodeUri" in properties:
            properties["CodeUri"] = "s3://deployments/functions.zip"
        if "Fn::Transform" in properties.get("DefinitionBody", {}):
            place = properties["DefinitionBody"]["Fn::Transform"]["Parameters"]["Location"]
            properties["DefinitionBody"] = yaml.safe_load((CHECKOUT / place).read_text(encoding="utf-8"))
    done: dict[str, Any] = transform(whole, {}, _NoManagedPolicies())
    return done


def resources(kind: str) -> dict[str, Resource]:
    """The resources of one type (``AWS::SQS::Queue``), by logical id."""
    return {name: one for name, one in transformed()["Resources"].items() if one["Type"] == kind}


def properties(name: str) -> dict[str, Any]:
    """The properties of the resource with this logical id."""
    found: dict[str, Any] = transformed()["Resources"][name]["Properties"]
    return found


def dashboard() -> list[dict[str, Any]]:
    """The properties of each of the dashboard's widgets, with CloudFormation's placeholders in them."""
    (one,) = resources("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(one["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]
    return [widget["properties"] for widget in widgets]


def function(name: str) -> dict[str, Any]:
    """The properties of a function by its short name."""
    return properties(f"{name.capitalize()}Function")


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """A policy document's statements, those under a condition too."""
    found: list[dict[str, Any]] = []
    for statement in policy["Statement"]:
        if "Fn::If" not in statement:
            found.append(statement)
            continue
        _, one, otherwise = statement["Fn::If"]
        assert otherwise == {"Ref": "AWS::NoValue"}
        found.append(one)
    return found


def as_list(value: Any) -> list[Any]:
    """What AWS lets one write with or without a list."""
    return value if isinstance(value, list) else [value]


def role_statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every role's own policies, those under a condition too, with the role's logical id."""
    for name, role in resources("AWS::IAM::Role").items():
        for policy in role["Properties"].get("Policies", []):
            if "Fn::If" in policy:
                _, policy, otherwise = policy["Fn::If"]
                assert otherwise == {"Ref": "AWS::NoValue"}
            for statement in statements(policy["PolicyDocument"]):
                yield name, statement


def place(resource: Any) -> str:
    """A policy's resource in short: ``GalleryTable``, ``PhotosBucket/*``, a parameter's name, ``Domain/*``, ``*``."""
    if isinstance(resource, str):
        return resource
    if resource == DOMAIN_REQUESTS:
        return "Domain/*"
    if "Ref" in resource:
        return str(resource["Ref"])
    if "Fn::GetAtt" in resource:
        name, attribute = resource["Fn::GetAtt"]
        return str(name) if attribute == "Arn" else f"{name}.{attribute}"
    return str(resource["Fn::Sub"]).replace("${", "").replace(".Arn}", "")


def denies_plain_http(policy: dict[str, Any], *targets: str) -> bool:
    """Whether a resource policy refuses everybody who comes without TLS, for all of ``targets``."""
    for statement in statements(policy):
        refuses = statement["Effect"] == "Deny" and statement["Principal"] == "*"
        everything = str(statement["Action"]).endswith(":*")
        covers = {place(one) for one in as_list(statement["Resource"])} == set(targets)
        if refuses and everything and covers and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}:
            return True
    return False
