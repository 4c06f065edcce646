"""The deployable form of ``template.yaml``: local paths become places in a bucket, nothing else changes.

This is what ``sam package`` does, without SAM's command line. ``forwarding`` is the one exception, for a local AWS that has no
executor for images.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from samtranslator.yaml_helper import yaml_parse

from infra.local.forwarding import forwarded
from infra.local.places import CHECKOUT

BUCKET: Final = "candid-deployments"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_FUNCTION: Final = "AWS::Serverless::Function"
_API: Final = "AWS::Serverless::Api"


@dataclass(frozen=True, slots=True)
class Deployable:
    """A template whose every path is a place in the bucket, named by its content; so equal bodies are equal deployments.

    ``objects`` is what must be in the bucket, ``gateways`` the APIs' documents, each by the output that has the API's id.
    """

    body: str
    objects: Mapping[str, bytes]
    gateways: Mapping[str, Mapping[str, Any]]


def deployable(path: Path, *, forward_to: str = "") -> Deployable:
    """The template at ``path``, what it names relative to its folder included.

    Image functions stay what they are unless ``forward_to`` gives the address of the faces server: then a small zip that
    forwards its invocations stands in for each.
    """
    template: dict[str, Any] = yaml_parse(path.read_text(encoding="utf-8"))
    objects: dict[str, bytes] = {}
    gateway: dict[str, Any] = {}
    packed: dict[str, bytes] = {}

    def place(folder: str, suffix: str, data: bytes) -> str:
        name = f"{folder}/{hashlib.sha256(data).hexdigest()}.{suffix}"
        objects[name] = data
        return f"s3://{BUCKET}/{name}"

    for properties in _functions(template):
        if forward_to and properties.get("PackageType") == "Image":
            forwarded(properties, forward_to)
        code = properties.get("CodeUri")
        if isinstance(code, str):
            packed[code] = packed.get(code) or zipped(path.parent / code)
            properties["CodeUri"] = place("functions", "zip", packed[code])
    for include in _includes(template):
        text = (path.parent / include["Location"]).read_bytes()
        gateway = gateway or yaml_parse(text.decode())
        include["Location"] = place("includes", "yaml", text)
    gateways = {
        f"{name}Id": _document(resource["Properties"]["DefinitionBody"], gateway)
        for name, resource in template["Resources"].items()
        if resource["Type"] == _API
    }
    return Deployable(json.dumps(template, sort_keys=True, default=str), objects, gateways)


def zipped(place: Path, system: str = sys.platform) -> bytes:
    """A folder (or a single file) as a zip that is the same bytes for the same content.

    The package of the functions is built for Linux. Elsewhere its libraries would not load, so its own sources alone are taken:
    the local AWS runs functions in this environment, which has the libraries.
    """
    archive = place.with_suffix(".zip")
    if system == "linux" and place.is_dir() and archive.is_file():
        return archive.read_bytes()
    root = place.parent if place.is_file() else place
    files = [place] if place.is_file() else sorted(one for one in place.rglob("*") if one.is_file())
    if system != "linux" and place.is_dir():
        ours = {folder.name for folder in (CHECKOUT / "services").iterdir()}
        files = [file for file in files if file.relative_to(root).parts[0] in ours]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for file in files:
            if "__pycache__" in file.parts:
                continue
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, file.read_bytes())
    return packed.getvalue()


def _document(body: Mapping[str, Any], included: Mapping[str, Any]) -> Mapping[str, Any]:
    """An API's document: what its body includes, or the body itself."""
    return included if "Fn::Transform" in body else body


def _functions(template: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in template["Resources"].values():
        if resource["Type"] == _FUNCTION:
            yield resource["Properties"]


def _includes(node: Any) -> Iterator[dict[str, Any]]:
    """The parameters of every AWS::Include below ``node``."""
    if isinstance(node, dict):
        transform = node.get("Fn::Transform")
        if isinstance(transform, dict) and transform.get("Name") == "AWS::Include":
            yield transform["Parameters"]
        for child in node.values():
            yield from _includes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _includes(child)
