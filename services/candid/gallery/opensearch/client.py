"""The process's connection to OpenSearch, and what its failures mean. Not here: what is asked of it.

opensearch-py writes requests' bodies (templates) to its log and quotes answers in its exceptions; so its loggers are silenced,
and no exception of its own leaves this package.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import urllib3
from opensearchpy import (
    AuthenticationException,
    ConnectionTimeout,
    NotFoundError,
    OpenSearch,
    SSLError,
    Transport,
    TransportError,
    Urllib3AWSV4SignerAuth,
)
from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import OpenSearchException

from candid.correlation import correlation_id
from candid.errors import DependencyUnavailable
from candid.settings import OpenSearchSettings, SettingsError

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 8.0
"""Of one request. Embed has at least 20 seconds for a photo, a search 29 for all it does."""

PATIENCE: Final = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)

_RETRIES: Final = 1
"""After a connection that failed. A request that timed out is not sent again: the node that is slow would only get more to do."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_BUSY: Final = "The index has more to do than it can take now. Try again in a minute."
_AWAY: Final = "Candid can't reach the index now. Try again in a minute."
_PARTIAL: Final = (
    "A part of the index does not answer now, and half an answer would miss people. Try again in a minute."
)
_PARTS_AWAY: Final = frozenset(
    {"no_shard_available_action_exception", "search_phase_execution_exception", "unavailable_shards_exception"}
)

for _name in ("opensearch", "opensearchpy.trace", "opensearch.trace"):
    logging.getLogger(_name).disabled = True


class IndexNotReady(DependencyUnavailable):
    """OpenSearch answers, but the index is not as Candid needs it; the sentence says what an operator does about it."""


class PartAway(DependencyUnavailable):
    """A part of the index did not answer, or not in time: its shard is lost, moves, or only starts."""


class _Followed(Transport):
    """Requests that say what they are for: OpenSearch shows the id in its tasks and slow logs."""

    def perform_request(self, *args: Any, **kwargs: Any) -> Any:
        if (followed := correlation_id()) is not None:
            kwargs["headers"] = {**(kwargs.get("headers") or {}), "X-Opaque-Id": followed}
        return super().perform_request(*args, **kwargs)


@cache
def connect(told: OpenSearchSettings) -> OpenSearch:
    """The process's client, one however often it is asked for. Raises ``SettingsError``; connects on first use."""
    place = urlsplit(told.opensearch_endpoint)
    secure = place.scheme == "https"
    if not place.hostname or place.scheme not in {"http", "https"}:
        raise SettingsError("OPENSEARCH_ENDPOINT is not an address. Set it to one that begins with https://.")
    if not secure and place.hostname not in _LOOPBACK:
        raise SettingsError(
            "OPENSEARCH_ENDPOINT must be https: over http anybody on the way could read templates. Set it to such an address."
        )
    options: dict[str, Any] = {}
    if secure:
        options = {"use_ssl": True, "verify_certs": True, "ca_certs": told.opensearch_ca_file or None}
    where: dict[str, Any] = {"host": place.hostname}
    if place.port:
        where["port"] = place.port
    elif secure:
        where["port"] = 443
    return OpenSearch(
        hosts=[where],
        http_auth=_credentials(told, secure),
        timeout=PATIENCE,
        max_retries=_RETRIES,
        retry_on_timeout=False,
        retry_on_status=(502, 503, 504),
        http_compress=False,
        pool_maxsize=10,
        transport_class=_Followed,
        **options,
    )


def _credentials(told: OpenSearchSettings, secure: bool) -> Any:
    way = told.opensearch_auth or ("sigv4" if secure else "none")
    if way == "none":
        return None
    if way == "sigv4":
        session = boto3.Session()
        credentials, region = session.get_credentials(), session.region_name
        if credentials is None or region is None:
            raise SettingsError(
                "There is nothing to sign requests to OpenSearch with. Set AWS credentials and a Region."
            )
        return Urllib3AWSV4SignerAuth(credentials, region, "es")
    if way == "basic":
        if not told.opensearch_secret_arn:
            raise SettingsError("OPENSEARCH_AUTH is basic, which needs a secret. Set OPENSEARCH_SECRET_ARN.")
        kept = boto3.client("secretsmanager").get_secret_value(SecretId=told.opensearch_secret_arn)["SecretString"]
        try:
            secret = json.loads(kept)
            return (str(secret["username"]), str(secret["password"]))
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                "The secret for OpenSearch is no JSON object with username and password. Store it as one."
            ) from None
    raise SettingsError("OPENSEARCH_AUTH is no way that there is. Set it to sigv4, basic or none.")


@contextmanager
def the_index() -> Iterator[None]:
    """Turn every failure of OpenSearch into ``DependencyUnavailable`` or ``IndexNotReady``, without a word of the request."""
    try:
        yield
    except OpenSearchException as error:
        raise failure(error) from None


def failure(error: OpenSearchException) -> DependencyUnavailable:
    """What a failure means to Candid."""
    if isinstance(error, SSLError):
        return IndexNotReady(
            "The index's certificate can't be verified. Set OPENSEARCH_CA_FILE, or mend the certificate."
        )
    if isinstance(error, ConnectionTimeout):
        return DependencyUnavailable("The index does not answer in time. Try again in a minute.")
    if isinstance(error, NoConnection) or not isinstance(error, TransportError):
        return DependencyUnavailable(_AWAY)
    return refusal(error.status_code, _word(error))


def _word(error: TransportError) -> str:
    """The type of OpenSearch's exception. An operation on what a query finds answers with a list of them instead of one."""
    told = error.info
    if isinstance(told, Mapping) and told.get("failures"):
        return str(told["failures"][0].get("cause", {}).get("type", ""))
    return str(error.error)


def refusal(status: int | str, word: str) -> DependencyUnavailable:
    """What an answer of ``status`` with OpenSearch's ``word`` (an exception's type) means, for a request or one document."""
    # A full disk, a snapshot that is restored, or an operator's hand: OpenSearch says 403 or 429 and means "not now".
    if word == "cluster_block_exception":
        return DependencyUnavailable(
            "The index takes no writes now: it is blocked, as it is when its disk is nearly full. Try again later."
        )
    if word == "index_create_block_exception":
        # OpenSearch sets this when every node's disk is nearly full. It takes it back with the first look at its disk (30 s) that
        # finds room a minute or more (cluster.routing.allocation.disk.reroute_interval) after it last moved shards for that.
        return IndexNotReady(
            "OpenSearch makes no new index: its disk is nearly full, or was so just now. Make room: it makes "
            "them again a minute or two later; where it does not, set cluster.blocks.create_index to null."
        )
    if status == 429:
        return DependencyUnavailable(_BUSY)
    if word in _PARTS_AWAY and status == 503:
        return partial()
    if status in {401, 403} or word == "security_exception":
        return IndexNotReady(
            "OpenSearch does not let this function in. Run `candid index create`: it maps the functions' roles."
        )
    if word == "index_closed_exception":
        return IndexNotReady(
            "An index of Candid's is closed. Open it (POST /<index>/_open), or delete it if nobody needs it any more."
        )
    if status == 404:
        return IndexNotReady(
            "The index is not there. `candid index status` says what is; `candid index create` makes it."
        )
    if status == 400:
        return IndexNotReady(
            f"The index does not take what Candid asks of it ({_safe(word)}): it was not made by this version of Candid. "
            "`candid index reembed` makes a new one from the photos."
        )
    return DependencyUnavailable(_AWAY)


def partial() -> PartAway:
    """The one sentence for it."""
    return PartAway(_PARTIAL)


def _safe(word: str) -> str:
    return word if word.replace("_", "").isalpha() and len(word) < 80 else "no reason given"


__all__ = [
    "AuthenticationException",
    "IndexNotReady",
    "NotFoundError",
    "PartAway",
    "connect",
    "failure",
    "partial",
    "refusal",
    "the_index",
]
