"""Who may do what inside OpenSearch: a role for each function, on one prefix alone, given to the function's IAM role.

The roles are ``infra/opensearch/roles.json``; their names begin with the prefix, so that two stacks share a domain. For
OpenSearch's security plugin, which every domain on AWS with fine-grained access control has. Not here: who may send a request at
all, which IAM says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from opensearchpy import NotFoundError, OpenSearch
from opensearchpy.exceptions import OpenSearchException, TransportError

from candid.gallery.opensearch.client import IndexNotReady, failure
from candid.gallery.opensearch.names import Names

_NOT_MASTER: Final = (
    "OpenSearch does not let this function change who may do what. Make its IAM role the domain's master, or let whoever is "
    "map it to OpenSearch's role all_access once."
)
_NO_ROLES: Final = (
    "This OpenSearch has no security plugin, so it has no roles that could be given to the functions. "
    "Use a domain with fine-grained access control."
)


def map_roles(
    client: OpenSearch, names: Names, definitions: Path, members: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Make the roles in the file ``definitions`` as they are written there, and give each to its ``members`` and nobody else.

    ``members`` has the ARNs of IAM roles by function (search, rekognition, embed, index), one entry for every role of the file.
    Answers the names of the roles that were made or changed; none where all was so already. Raises ``ValueError`` where
    ``members`` does not fit the file, ``IndexNotReady`` where OpenSearch has no roles or this caller may not change them, and
    ``DependencyUnavailable``."""
    written: Mapping[str, Mapping[str, Sequence[str]]] = json.loads(definitions.read_text(encoding="utf-8"))
    if set(members) != set(written) or not all(members.values()):
        raise ValueError(f"members must name an IAM role for each of {', '.join(sorted(written))}")
    try:
        return tuple(
            name
            for function, permissions in sorted(written.items())
            if _put(client, name := role_name(names, function), _role(names, permissions), members[function])
        )
    except OpenSearchException as error:
        if isinstance(error, TransportError) and error.status_code in {401, 403}:
            raise IndexNotReady(_NOT_MASTER) from None
        if isinstance(error, TransportError) and error.status_code in {400, 404, 405}:
            raise IndexNotReady(_NO_ROLES) from None
        raise failure(error) from None


def role_name(names: Names, function: str) -> str:
    """What the role of a function is called in OpenSearch."""
    return f"{names.prefix}_{function}"


def _role(names: Names, permissions: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        "cluster_permissions": sorted(permissions["cluster_permissions"]),
        "index_permissions": [
            {"index_patterns": [names.every], "allowed_actions": sorted(permissions["index_permissions"])}
        ],
    }


def _put(client: OpenSearch, name: str, role: Mapping[str, Any], members: Sequence[str]) -> bool:
    """Whether anything had to be changed. The role comes first: nobody is given one that may still be wider."""
    mapping = {"backend_roles": sorted(members), "hosts": [], "users": []}
    changed = False
    if not _is(_read(client, "roles", name), role):
        client.transport.perform_request("PUT", _place("roles", name), body=role)
        changed = True
    if not _is(_read(client, "rolesmapping", name), mapping):
        client.transport.perform_request("PUT", _place("rolesmapping", name), body=mapping)
        changed = True
    return changed


def _read(client: OpenSearch, kind: str, name: str) -> Mapping[str, Any]:
    try:
        told: Mapping[str, Mapping[str, Any]] = client.transport.perform_request("GET", _place(kind, name))
    except NotFoundError:
        return {}
    return told.get(name, {})


def _place(kind: str, name: str) -> str:
    return f"/_plugins/_security/api/{kind}/{name}"


def _is(found: Any, wanted: Any) -> bool:
    """Whether what OpenSearch has is what is wanted; what it adds (empty lists, nothing, flags of its own) left aside."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return False
        grants = {key for key, value in found.items() if value and not isinstance(value, bool)} - {"description"}
        return grants <= set(wanted) and all(_is(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return False
        simple = all(isinstance(one, str) for one in found + wanted)
        return sorted(found) == sorted(wanted) if simple else all(map(_is, found, wanted))
    return bool(found == wanted)
