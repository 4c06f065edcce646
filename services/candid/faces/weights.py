"""A model's weights: read once, checked by their SHA-256, and handed on as the very bytes that were checked.

A path that is checked and then opened again may be another file by then. Not here: what makes a model of the bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from candid.errors import ModelUnavailable


def read(path: Path, digest: str) -> bytes:
    """The file's bytes, whose SHA-256 (hexadecimal) is ``digest``. Raises ``ModelUnavailable``, which names the file alone."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelUnavailable(f"The weights {path.name} are not there. Run `python -m infra.models.fetch`.") from None
    except OSError as error:
        raise ModelUnavailable(f"The weights {path.name} can't be read. Check who may read them.") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ModelUnavailable(
            f"The weights {path.name} are damaged or of another version. Delete them and fetch them again."
        )
    return data
