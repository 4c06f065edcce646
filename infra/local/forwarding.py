"""A small zip function in the place of an image function, for a local AWS that cannot run images (LocalStack's free edition).

It sends its invocation to the faces server and answers what comes back. Its code is ``forwarding_function.py`` alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

CODE: Final = Path(__file__).with_name("forwarding_function.py")


def forwarded(properties: dict[str, Any], faces_url: str) -> None:
    """Change a function's ``properties`` (of the template) from an image into a zip that forwards to ``faces_url``."""
    command = properties.pop("ImageConfig")["Command"]
    for name in ("ImageUri", "PackageType"):
        properties.pop(name, None)
    properties |= {"CodeUri": str(CODE), "Runtime": "python3.11", "Handler": f"{CODE.stem}.handler", "MemorySize": 128}
    variables = properties.setdefault("Environment", {}).setdefault("Variables", {})
    variables |= {"CANDID_FACES_URL": faces_url, "CANDID_FORWARDED_HANDLER": command[0]}
