"""multipart/form-data bodies (RFC 7578), by python-multipart: bounded before they are parsed, each part exactly once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from candid.errors import InvalidRequest
from candid.http.bodies import MAX_BODY_BYTES

# The parser warns of what it can't read by quoting it: headers of a part, with a file's name.
logging.getLogger("python_multipart.multipart").disabled = True

_LONGEST_BOUNDARY: Final = 70
"""RFC 2046, 5.1.1. The parser takes some more, and fails at many more."""


def parse(content_type: str, body: bytes, names: Collection[str]) -> Mapping[str, bytes]:
    """The parts of a form by name. Raises ``InvalidRequest`` unless it has each of ``names`` once and nothing else."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequest("The body is too large. Get an upload link for the probe (POST /v1/probes).")
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > _LONGEST_BOUNDARY:
        raise InvalidRequest(
            f"The form's Content-Type must name a boundary of 1 to {_LONGEST_BOUNDARY} characters. Let an HTTP library make it."
        )
    parts: list[tuple[str, bytes]] = []

    def field(one: Any) -> None:
        parts.append((_text(one.field_name), one.value or b""))

    def file(one: Any) -> None:
        one.file_object.seek(0)
        parts.append((_text(one.field_name), one.file_object.read()))

    # Nothing of a probe is to touch a disk: the body is in memory already and bounded.
    parser = FormParser(
        "multipart/form-data", field, file, boundary=boundary, config={"MAX_MEMORY_FILE_SIZE": 2 * MAX_BODY_BYTES}
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise InvalidRequest("The body is not a valid multipart/form-data form. Let an HTTP library make it.") from None
    finally:
        parser.close()
    if sorted(name for name, _ in parts) != sorted(names):
        raise InvalidRequest(
            f"The form has other parts than it must. Send these, each once: {', '.join(sorted(names))}."
        )
    return dict(parts)


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")
