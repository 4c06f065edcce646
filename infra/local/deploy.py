"""Deploys ``template.yaml`` to a local AWS: build, upload, change set, wait. Nothing is done where the stack is as it should be.

Not here: what the template's deployable form is (``template``), and what the local AWS does not read from it (``gateway``).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.local import gateway
from infra.local.aws import client
from infra.local.problems import LocalError
from infra.local.template import BUCKET, Deployable, deployable

_DIGEST_TAG: Final = "candid:digest"
_WAIT_SECONDS: Final = 180
_GOOD: Final = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack that stands: its outputs, and whether anything was done."""

    outputs: dict[str, str]
    changed: bool


def deploy(
    aws_url: str, stack: str, template_path: Path, parameters: Mapping[str, str], *, forward_to: str = ""
) -> Deployed:
    """Make ``stack`` what the template says. Raises ``LocalError`` with the resource that failed and its reason."""
    made = deployable(template_path, forward_to=forward_to)
    if unknown := parameters.keys() - json.loads(made.body)["Parameters"]:
        raise LocalError(f"template.yaml has no parameter {', '.join(sorted(unknown))}.")
    digest = hashlib.sha256(json.dumps([made.body, sorted(parameters.items())]).encode()).hexdigest()
    cloudformation = client(aws_url, "cloudformation")
    before = _describe(cloudformation, stack)
    if before and before["StackStatus"] in _GOOD and {"Key": _DIGEST_TAG, "Value": digest} in before.get("Tags", []):
        return Deployed(_outputs(before), changed=False)
    if before and before["StackStatus"] in {
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "CREATE_FAILED",
        "REVIEW_IN_PROGRESS",
    }:
        _delete(cloudformation, stack)
        before = None
    place = _upload(client(aws_url, "s3"), made, digest)
    _execute(cloudformation, stack, f"{aws_url}/{BUCKET}/{place}", parameters, digest, create=before is None)
    after = _wait(cloudformation, stack)
    outputs = _outputs(after)
    for output, document in made.gateways.items():
        gateway.complete(client(aws_url, "apigateway"), outputs[output], document)
    return Deployed(outputs, changed=True)


def _upload(s3: Any, made: Deployable, digest: str) -> str:
    """Put everything into the deployment bucket; the template's name there."""
    try:
        s3.head_bucket(Bucket=BUCKET)
    except ClientError:
        s3.create_bucket(Bucket=BUCKET)
    place = f"templates/{digest}.json"
    for name, data in {**made.objects, place: made.body.encode()}.items():
        s3.put_object(Bucket=BUCKET, Key=name, Body=data)
    return place


def _execute(
    cloudformation: Any, stack: str, template_url: str, parameters: Mapping[str, str], digest: str, *, create: bool
) -> None:
    name = f"candid-{int(time.time() * 1000)}"
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=name,
        ChangeSetType="CREATE" if create else "UPDATE",
        TemplateURL=template_url,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Tags=[{"Key": _DIGEST_TAG, "Value": digest}],
    )
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        change_set = cloudformation.describe_change_set(StackName=stack, ChangeSetName=name)
        if change_set["Status"] == "CREATE_COMPLETE":
            break
        if change_set["Status"] == "FAILED":
            raise LocalError(
                f"The local AWS does not accept template.yaml: {change_set.get('StatusReason', 'no reason given')}"
            )
        if time.monotonic() > end:
            raise LocalError("The local AWS did not get through template.yaml in time.")
        time.sleep(0.1)
    cloudformation.execute_change_set(StackName=stack, ChangeSetName=name)


def _wait(cloudformation: Any, stack: str) -> dict[str, Any]:
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        now = _describe(cloudformation, stack)
        status = now["StackStatus"] if now else "DELETED"
        if now and status in _GOOD:
            return now
        if not status.endswith("IN_PROGRESS"):
            raise LocalError(f"The deployment failed ({status}). {_reason(cloudformation, stack)}")
        time.sleep(0.1)
    raise LocalError(f"The deployment was not done after {_WAIT_SECONDS} seconds.")


def _reason(cloudformation: Any, stack: str) -> str:
    """The first resource that failed on its own account, and why."""
    failed = [
        event
        for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        if event["ResourceStatus"].endswith("_FAILED")
        and "cancelled" not in event.get("ResourceStatusReason", "").lower()
    ]
    if not failed:
        return "The local AWS gave no reason."
    first = min(failed, key=lambda event: event["Timestamp"])
    return f"{first['LogicalResourceId']} ({first['ResourceType']}): {first.get('ResourceStatusReason', 'no reason given')}"


def _describe(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return found if found["StackStatus"] != "DELETE_COMPLETE" else None


def _delete(cloudformation: Any, stack: str) -> None:
    cloudformation.delete_stack(StackName=stack)
    end = time.monotonic() + _WAIT_SECONDS
    while _describe(cloudformation, stack) and time.monotonic() < end:
        time.sleep(0.1)


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
