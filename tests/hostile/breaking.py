"""Breaking a valid body: members replaced, removed and added by odd values, bytes changed, and what never was a body."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final

from hypothesis import strategies as st

ODD_TEXT: Final = [
    "",
    " ",
    "\0",
    "a\0b",
    "../../etc/passwd",
    "..%2f..%2fetc",
    "%00",
    "‮gnirts",
    "é" * 128,
    unicodedata.normalize("NFD", "é" * 128),
    "\ud800",
    "👮" * 64,
    "x" * 100_000,
    "' OR 1=1 --",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-02-30T00:00:00Z",
    "2026-03-01T10:00:00+25:00",
    "2026-03-01T10:00:00",
    "2026-W10-1T10:00:00Z",
    "NaN",
    "null",
]
ODD_VALUES: Final = [
    *ODD_TEXT,
    *(None, True, False, 0, -1, 1e308, -1e308, float("nan"), float("inf"), 2**63, -(2**63), 10**400, 1e-400),
    *([], {}, [[]], [{}] * 200, {"": ""}, {"__proto__": {}}, {"a": {"b": {"c": {}}}}),
]
RAW: Final = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"1e999",
    b"{",
    b"{}{}",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"number": "a", "number": "b", "purpose": "criminal_investigation", "legal_basis": "x"}',
    b'{"number": "\\ud800", "purpose": "criminal_investigation", "legal_basis": "x"}',
    b"--x\r\nContent-Disposition: form-data; name=request\r\n\r\n{}\r\n",
    b'--x\r\nContent-Disposition: form-data; name=probe; filename="../../x"\r\n\r\n\xff\xd8\r\n--x--',
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every member below ``value``."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield (*path, name)
        yield from places(member, (*path, name))


def changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy in which ``change(parent, name)`` was made at ``path``."""
    copy = json.loads(json.dumps(value))
    parent = copy
    for name in path[:-1]:
        parent = parent[name]
    change(parent, path[-1])
    return copy


@st.composite
def broken(draw: st.DrawFn, body: Any) -> bytes:
    """``body`` with one to three things broken, or other bytes altogether."""
    kind = draw(st.sampled_from(["member", "member", "member", "bytes", "raw", "anything"]))
    if kind == "raw" or body is None:
        return draw(st.sampled_from(RAW))
    if kind == "anything":
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(body)) or [("x",)]))
        what = draw(st.sampled_from(["replace", "remove", "add", "list"]))
        odd = draw(st.sampled_from(ODD_VALUES) | st.text(max_size=20) | st.integers() | st.floats())

        def change(parent: Any, name: Any, what: str = what, odd: Any = odd) -> None:
            if what == "remove" and isinstance(parent, dict):
                parent.pop(name, None)
            elif what == "add" and isinstance(parent, dict):
                parent[str(odd)[:50]] = odd
            else:
                parent[name] = [odd] if what == "list" else odd

        body = changed(body, path, change)
    data = json.dumps(body).encode("utf-8", "surrogatepass")
    if kind == "bytes" and data:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.binary(min_size=1, max_size=3)) + data[place + draw(st.integers(0, 3)) :]
    return data
