"""Lists what is deployed (a CycloneDX bill of materials each): ``python -m infra.supply.sbom [FOLDER]`` (``make sbom``).

``functions.json`` is the zip of the functions that never see a face, ``faces.json`` the image of the others with the weights of
the default model. Each package has its version, licence and the hashes that its installation is held to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from infra.build import LOCK
from infra.supply.licences import Licence, default_weights, packages
from infra.supply.locks import CHECKOUT, lock, normal

FOLDER: Final = CHECKOUT / ".build" / "sbom"
_ENTRY: Final = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==(\S+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}[^\n]*\n)+)", re.MULTILINE
)


def bill(name: str, locks: list[Path], *, weights: bool) -> Bom:
    """The bill of what ``locks`` pin, with the weights of the default model or without."""
    known = {one.name: one for one in packages()}
    bom = Bom()
    bom.metadata.component = Component(name=f"candid-{name}", type=ComponentType.APPLICATION, bom_ref=f"candid-{name}")
    parts = [part for path in locks for part in _packages(path, known)]
    parts += list(_weights()) if weights else []
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(bom.metadata.component, parts)
    return bom


def render(bom: Bom) -> str:
    """As JSON, checked against CycloneDX's own schema. Raises ``ValueError``."""
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"The bill of materials is not valid: {wrong}")
    return text


def _packages(path: Path, known: dict[str, Licence]) -> Iterator[Component]:
    for found in _ENTRY.finditer(path.read_text(encoding="utf-8")):
        name, version = normal(found[1]), found[2]
        if name not in known:
            continue
        hashes = re.findall(r"sha256:([0-9a-f]{64})", found[3])
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", None, name, version),
            bom_ref=f"pkg:pypi/{name}@{version}",
            licenses=[LicenseExpression(known[name].whole)],
            # A package has one file a platform, and a component one hash of a kind: so they are all named as properties.
            properties=[Property(name="candid:sha256-of-a-distribution", value=one) for one in sorted(hashes)],
        )


def _weights() -> Iterator[Component]:
    for one in default_weights():
        yield Component(
            name=one["weights"],
            description=f"{one['name']}: {one['source']}",
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=one["weights"],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one["sha256"])],
            licenses=[LicenseExpression(one["licence"])],
        )


def main() -> int:
    """Write both."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, bom in (
        ("functions", bill("functions", [LOCK], weights=False)),
        ("faces", bill("faces", [lock("faces"), lock("runtime")], weights=True)),
    ):
        path = folder / f"{name}.json"
        path.write_text(render(bom), encoding="utf-8")
        print(f"{path}: {len(bom.components)} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
