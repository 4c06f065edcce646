"""Every refusal says what is wrong and what to do: those in the code, the gateway's own, a photo's, the policy's."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from infra.api.refusals import REFUSALS

from candid.casework.policy import policy
from candid.errors import PolicyRefusal
from candid.faces.quality import Quality, Thresholds, findings
from candid.gallery import adoption, strays
from candid.http import problem
from candid.rekognition import operations
from candid.rekognition.errors import Refused
from tests.refusals import wrong

SERVICES = Path(__file__).parents[2] / "services"
INSIDE = {"LeaseLost", "MalformedEvent", "PhotoBusy", "TooLittleTime", "UserBusy"}
"""What only embed's queue meets, which brings the photo again; and in the authorizer's log, for which the gateway answers."""
ELSEWHERE = {
    "NotAuthenticated('no bearer token')": "the gateway's text is what is answered",
    "DependencyUnavailable(str(error))": "a SettingsError's text",
    "NotFound(no_such)": "the callers' texts, which the stores raise as well",
    "NotAllWritten(str(reason))": "another refusal's text",
    "Rejection(_SENTENCES.get(place, _SENTENCES['fields']))": "below",
    "Rejection(found[0].sentence)": "below",
    "PolicyRefusal(f'{why} Use a probe that comes from one of these: {allowed}.')": "below, for each source",
    "Unreachable(_why_unreachable(url, broken))": "below",
    "Refused(_reason(name))": "below, for each operation",
    "Revoked(str(error))": "another refusal's text",
    "Forbidden(f'{error} Get credentials for records (`candid credentials`): these are of a case.')": "with another's text",
    "Refused(told['Error']['Message'])": "Candid's own answer to a Rekognition client",
}
"""Calls whose text is made elsewhere."""


def _classes(trees: dict[Path, ast.Module]) -> set[str]:
    """The names of all errors with a text for whoever asks."""
    bases = [
        (node.name, {ast.unparse(base).rpartition(".")[2] for base in node.bases})
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    names = {"CandidError", "SettingsError"}
    while more := {name for name, above in bases if above & names} - names:
        names |= more
    return names - INSIDE


def _text(node: ast.expr, module: str) -> str | None:
    """The text that an expression makes, with … for what is not known before; None for one that is none."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name):
        value = vars(importlib.import_module(module)).get(node.id)
        return value if isinstance(value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = (one.value if isinstance(one, ast.FormattedValue) else one for one in node.values)
        return "".join(_text(part, module) or "…" for part in parts)
    return None


def _refusals() -> Iterator[tuple[str, str | None]]:
    """Each call of a refusal's class, as it is written, and its text."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SERVICES.rglob("*.py"))}
    names = _classes(trees)
    for path, tree in trees.items():
        module = ".".join(path.relative_to(SERVICES).with_suffix("").parts)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            # A rejection's first word is its reason.
            said = node.args[1:] if name == "Rejection" else node.args
            if said and (name in names or name == "Rejection"):
                yield f"{name}({ast.unparse(said[0])})", _text(said[0], module)


FOUND = dict(_refusals())


def test_every_refusal_of_the_code_is_looked_at() -> None:
    assert {call for call, text in FOUND.items() if text is None} <= ELSEWHERE.keys() <= FOUND.keys()
    assert len(FOUND) > 150


@pytest.mark.parametrize("call", sorted(FOUND.keys() - ELSEWHERE.keys()))
def test_a_refusal_of_the_code_says_what_is_wrong_and_what_to_do(call: str) -> None:
    text = FOUND[call]
    assert text is not None
    assert wrong(text) is None, text


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_of_the_gateway_says_what_is_wrong_and_what_to_do(kind: str) -> None:
    assert wrong(REFUSALS[kind].detail) is None


def test_a_failure_that_nobody_foresaw_says_whom_to_tell() -> None:
    assert wrong(problem.internal("an-instance")["detail"]) is None


@pytest.mark.parametrize("sentence", [*adoption._SENTENCES.values(), *strays._SENTENCES.values()])
def test_what_is_wrong_with_a_drop_says_what_to_do(sentence: str) -> None:
    assert wrong(sentence) is None


def test_what_is_wrong_with_a_face_says_what_to_do() -> None:
    names = [field.name for field in dataclasses.fields(Thresholds)]
    worst = Quality(**dict.fromkeys(names, 0.0) | dict.fromkeys(("yaw", "pitch", "roll"), 90.0), score=0.0)
    found = findings(worst, Thresholds(**dict.fromkeys(names, 1.0)))
    assert len(found) == len(names)
    assert [wrong(one.sentence) for one in found] == [None] * len(names)


@pytest.mark.parametrize(
    "operation", ["ListStreamProcessors", "CreateFaceLivenessSession", "StartFaceSearch", "DetectText"]
)
def test_an_operation_of_rekognitions_that_is_not_carried_out_is_refused_with_what_to_do_instead(
    operation: str,
) -> None:
    with pytest.raises(Refused) as refused:
        operations.of(operation)
    assert wrong(str(refused.value)) is None


@pytest.mark.parametrize("source", [*(name for name, one in policy().sources.items() if not one.allowed), "none"])
def test_a_source_that_the_policy_forbids_is_refused_with_those_that_it_allows(source: str) -> None:
    with pytest.raises(PolicyRefusal) as refused:
        policy().require_source(source)
    assert wrong(str(refused.value)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("There is no such booking.", "it does not say what to do"),
        ("There is no such booking. It may have been deleted.", "it does not say what to do"),
        ("Look it up with GET /v1/bookings.", "it does not begin with what is wrong"),
        ("There is no such booking. Look it up", "it does not end as a sentence does"),
        ("There is no\nsuch booking. Look it up.", "it is too long, or holds control characters"),
        ("There is none. It is gone. It was erased. Look it up.", "it has more than three sentences"),
        ("There is no such booking. Look it up with GET /v1/bookings.", None),
    ],
)
def test_the_rule_tells_a_fault_alone_from_what_to_do(text: str, said: str | None) -> None:
    assert wrong(text) == said
