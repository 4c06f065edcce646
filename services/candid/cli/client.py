"""The HTTP client: one pool of connections, time-outs, patient retries, typed refusals.

Every request that the command line makes may be sent twice without harm (the API's writes are idempotent, or carry an
Idempotency-Key), so a broken connection is simply tried again. Not here: what the operations are (``api``).
"""

from __future__ import annotations

import email.utils
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.filepost import encode_multipart_formdata

from candid.cli.problems import NotAuthenticated, Refused, Stopped, Unreachable, UploadRefused, from_answer
from candid.cli.tokens import TokenSource

_AGAIN: Final = frozenset({429, 502, 503, 504})
_UPLOAD_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_NEVER_AGAIN: Final = frozenset({"model-unavailable"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is tried: at most ``attempts`` times and not beyond ``seconds``; pauses grow from ``first``."""

    attempts: int = 4
    seconds: float = 75.0
    first: float = 0.4
    longest: float = 20.0


INTERACTIVE: Final = Patience()
STEADY: Final = Patience(attempts=10, seconds=600.0)
"""For an import: it is better late than given up."""

_Wait = Callable[[float], None]
_Say = Callable[[str], None]


class Client:
    """Asks one API with one token. Safe to share between threads; ``connections`` is the most at a time a host."""

    def __init__(
        self,
        url: str,
        tokens: TokenSource,
        *,
        patience: Patience = INTERACTIVE,
        connections: int = 4,
        wait: _Wait = time.sleep,
        say: _Say = lambda _: None,
    ) -> None:
        self.url = url
        self._tokens = tokens
        self._patience = patience
        self._wait = wait
        self._say = say
        self._pool = urllib3.PoolManager(
            num_pools=4,
            maxsize=connections,
            block=True,
            retries=False,
            # The gateway itself gives up after 29 seconds.
            timeout=urllib3.Timeout(connect=5.0, read=35.0),
            headers={"User-Agent": "candid"},
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int | None] | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """The JSON answer of an operation. Raises ``Refused`` (or one of its classes), ``Unreachable``, ``Stopped``."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        url = self.url + path + (f"?{urlencode(asked)}" if asked else "")
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        renewed = False
        while True:
            headers = {"Authorization": f"Bearer {self._tokens.token()}", "Accept": "application/json"}
            if data is not None:
                headers["Content-Type"] = "application/json"
            if idempotency_key:
                headers["Idempotency-Key"] = idempotency_key
            answer = self._patiently(method, url, data, headers, _AGAIN)
            if 200 <= answer.status < 300:
                return _json(answer, self.url)
            refusal = from_answer(answer.status, answer.data)
            if isinstance(refusal, NotAuthenticated) and not renewed and self._tokens.renew():
                renewed = True
                continue
            raise refusal

    def upload(self, url: str, fields: Mapping[str, str], content: bytes) -> None:
        """Send a presigned POST: ``fields`` in their order, then the file. Raises ``UploadRefused``, ``Unreachable``."""
        parts: list[Any] = [*fields.items(), ("file", ("photo", content, fields.get("Content-Type", "image/jpeg")))]
        data, kind = encode_multipart_formdata(parts)
        answer = self._patiently("POST", url, data, {"Content-Type": kind}, _UPLOAD_AGAIN)
        if 200 <= answer.status < 300:
            return
        code = _xml_word(answer.data, "Code")
        if code == "EntityTooLarge":
            raise UploadRefused(
                "The file is larger than a photo may be. Send a smaller copy.", status=answer.status, code=code
            )
        why = f": {code}" if code else ""
        raise UploadRefused(
            f"The photo store did not take the file (status {answer.status}{why}). Try again in a minute.",
            status=answer.status,
            code=code,
        )

    def probe(self, url: str, seconds: float = 3.0) -> int | None:
        """The status that ``url`` answers with, once and without a token; None where nothing answers."""
        try:
            answer = self._pool.request("GET", url, redirect=False, timeout=urllib3.Timeout(total=seconds))
        except urllib3.exceptions.HTTPError:
            return None
        return int(answer.status)

    def _patiently(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str], again: frozenset[int]
    ) -> urllib3.BaseHTTPResponse:
        end = time.monotonic() + self._patience.seconds
        for attempt in range(1, self._patience.attempts + 1):
            answer, broken, asked = None, None, None
            try:
                # A redirect would carry the token and the photo to somewhere that nobody named.
                answer = self._pool.request(method, url, body=data, headers=headers, redirect=False)
                if answer.status not in again or _hopeless(answer):
                    return answer
                asked = _retry_after(answer.headers.get("Retry-After"))
            except urllib3.exceptions.HTTPError as error:
                broken = error
            pause = self._pause(attempt, asked)
            if attempt == self._patience.attempts or time.monotonic() + pause > end:
                break
            if pause > 3:
                self._say(f"{'The server is busy' if answer else 'No answer'}; trying again in {pause:.0f} s.")
            self._wait(pause)
        if answer is not None:
            return answer
        raise Unreachable(_why_unreachable(url, broken)) from broken

    def _pause(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next try; spread out, so that many workers do not come back all at once."""
        if asked is not None:
            return asked + random.uniform(0.0, min(2.0, 0.2 * asked + 0.1))  # noqa: S311
        growing: float = min(self._patience.longest, self._patience.first * 2 ** (attempt - 1))
        return growing * random.uniform(0.5, 1.0)  # noqa: S311


def until(stop: Callable[[float], bool]) -> _Wait:
    """A wait that ends with ``Stopped`` as soon as ``stop`` (such as ``threading.Event.wait``) says so."""

    def wait(seconds: float) -> None:
        if stop(seconds):
            raise Stopped("Stopped while waiting to try again. Give the same command again to go on.")

    return wait


def _json(answer: urllib3.BaseHTTPResponse, url: str) -> Any:
    try:
        return json.loads(answer.data)
    except ValueError:
        raise Refused(f"What answers at {url} is not Candid's API. Check the address.", status=answer.status) from None


def _hopeless(answer: urllib3.BaseHTTPResponse) -> bool:
    return answer.status == 503 and from_answer(503, answer.data).kind in _NEVER_AGAIN


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date); None for none or nonsense; at most five minutes."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), 300.0) if seconds == seconds else None


def _why_unreachable(url: str, broken: Exception | None) -> str:
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc}"
    if isinstance(broken, urllib3.exceptions.SSLError):
        return f"The certificate of {place} is not one that this machine trusts. Check the address and its issuer."
    if isinstance(broken, urllib3.exceptions.ReadTimeoutError):
        return f"{place} took the request and did not answer in time. Try again in a minute."
    if isinstance(broken, urllib3.exceptions.ProtocolError):
        return f"The connection to {place} broke off each time. Try again in a minute."
    hint = (
        "Is the local stack running? Start it with `make run`."
        if parts.hostname in {"127.0.0.1", "localhost"}
        else ("Check the address and the network.")
    )
    return f"Nothing answers at {place}. {hint}"


def _xml_word(data: bytes, tag: str) -> str:
    """The text of the first ``tag`` in an S3 error, if it is one plain word; no XML is parsed."""
    text = data[:4096].decode("utf-8", "replace")
    _, opened, rest = text.partition(f"<{tag}>")
    word = rest.partition("<")[0].strip() if opened else ""
    return word if word.isalnum() and len(word) <= 64 else ""
