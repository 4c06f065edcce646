"""A node with the security plugin: TLS on HTTP and transport, basic authentication, roles, no user but the administrator.

The administrator comes with a client certificate (``admin.pem``), as the plugin's own tools do, and makes users with the
security API. 2.19.1 alone: Maven Central has no security plugin for 3.2.0. Not here: which roles Candid needs
(``infra/opensearch/roles.json``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3

from candid.cli import jdk
from infra.local import processes
from infra.local.places import HOST
from infra.local.problems import LocalError
from infra.opensearch import node
from infra.opensearch.node import Node
from infra.opensearch.secure.certificates import Authority

MAJOR: Final = 2
_HERE: Final = Path(__file__).parent
_PLUGIN: Final = "org.opensearch.security.OpenSearchSecurityPlugin"
_START_SECONDS: Final = 120
_EMPTY: Final = {
    "action_groups": "actiongroups",
    "internal_users": "internalusers",
    "nodes_dn": "nodesdn",
    "roles": "roles",
    "roles_mapping": "rolesmapping",
    "tenants": "tenants",
}
_BASIC: Final = {
    "http_enabled": True,
    "transport_enabled": True,
    "order": 0,
    "http_authenticator": {"type": "basic", "challenge": True},
    "authentication_backend": {"type": "intern"},
}


@dataclass(frozen=True, slots=True)
class SecureNode:
    """A node that answers at ``url`` over TLS; ``authority`` signed its certificate."""

    url: str
    authority: Path
    node: Node
    administrator: urllib3.PoolManager

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A call of the security API (``path`` after ``/_plugins/_security/api``) as the administrator.

        Raises ``LocalError`` with what it answered.
        """
        answer = self.administrator.request(
            method, f"{self.url}/_plugins/_security/api{path}", json=body, timeout=10, retries=False
        )
        if answer.status >= 300:
            raise LocalError(f"The security API answered {answer.status} to {method} {path}: {answer.data[:500]!r}")
        told: dict[str, Any] = json.loads(answer.data)
        return told

    def add_user(self, name: str, password: str, backend_roles: Sequence[str] = ()) -> None:
        """A user of the internal database. ``backend_roles`` are what a domain on AWS takes an IAM role's ARN for."""
        self.api("PUT", f"/internalusers/{name}", {"password": password, "backend_roles": list(backend_roles)})

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.node.stop()


def missing() -> str | None:
    """What this machine lacks to run such a node, in a sentence; None if nothing."""
    if reason := node.missing(MAJOR):
        return reason
    if jdk.maven() is None and not _assembled().exists():
        return "OpenSearch's security plugin is fetched by Maven (mvn), and there is none here."
    return None


def assemble() -> Path:
    """The folder with the plugin's libraries, filled by Maven where it is not there yet. Raises ``LocalError``."""
    folder = _assembled()
    if folder.exists():
        return folder
    if reason := missing():
        raise LocalError(reason)
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    command = [str(jdk.maven()), "-q", "-B", "-f", str(_HERE / "pom.xml"), f"-Dtarget={part}", "package"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise LocalError(f"Maven could not fetch OpenSearch's security plugin. It said last:\n{said}")
    try:
        part.rename(folder)
    except OSError:  # Another process was quicker.
        shutil.rmtree(part, ignore_errors=True)
    return folder


def start(home: Path, port: int, *, heap: str = "1g", settings: Mapping[str, str] | None = None) -> SecureNode:
    """Start a secured node on the empty folder ``home``; returns when it has read its configuration and the administrator
    gets an answer. Raises ``LocalError``."""
    plugin = assemble()
    authority = Authority(home / "certificates")
    certificate, key = authority.issue("node")
    admin, admin_key = authority.issue("admin")
    _configure(home / "node" / "node_1" / "config" / "opensearch-security")
    told = {"plugins.security.authcz.admin_dn": "CN=admin", "plugins.security.nodes_dn": "CN=node"}
    for layer in ("transport", "http"):
        told |= {
            f"plugins.security.ssl.{layer}.pemcert_filepath": str(certificate),
            f"plugins.security.ssl.{layer}.pemkey_filepath": str(key),
            f"plugins.security.ssl.{layer}.pemtrustedcas_filepath": str(authority.certificate),
        }
    told |= {
        "plugins.security.ssl.http.enabled": "true",
        "plugins.security.allow_default_init_securityindex": "true",
        # As on AWS: the master user is mapped to all_access, which may use the security API.
        "plugins.security.restapi.roles_enabled": "all_access",
        "plugins.security.audit.type": "noop",
    }
    started = node.start(
        home, port, MAJOR, heap=heap, settings=told | dict(settings or {}), wait=False, plugins=[(_PLUGIN, plugin)]
    )
    pool = urllib3.PoolManager(ca_certs=str(authority.certificate), cert_file=str(admin), key_file=str(admin_key))
    secured = SecureNode(f"https://{HOST}:{port}", authority.certificate, started, pool)
    _wait_for(secured)
    return secured


def _configure(folder: Path) -> None:
    """The files from which the plugin makes its index at the first start. (JSON is YAML.)"""
    folder.mkdir(parents=True, mode=0o700)
    told: dict[str, Any] = {name: _meta(kind) for name, kind in _EMPTY.items()}
    told["config"] = _meta("config") | {
        "config": {"dynamic": {"http": {"anonymous_auth_enabled": False}, "authc": {"basic": _BASIC}}}
    }
    told["allowlist"] = _meta("allowlist") | {"config": {"enabled": False}}
    told["audit"] = _meta("audit") | {"config": {"enabled": False}}
    for name, content in told.items():
        (folder / f"{name}.yml").write_text(json.dumps(content))


def _meta(kind: str) -> dict[str, Any]:
    return {"_meta": {"type": kind, "config_version": 2}}


def _wait_for(secured: SecureNode) -> None:
    end = time.monotonic() + _START_SECONDS
    log = secured.node.home / "opensearch.log"
    while True:
        try:
            answer = secured.administrator.request(
                "GET", f"{secured.url}/_plugins/_security/api/roles", timeout=3, retries=False
            )
            if answer.status == 200 and b"all_access" in answer.data:
                return
        except urllib3.exceptions.HTTPError:
            pass
        if not secured.node.process.is_running():
            raise processes.ended_early("OpenSearch", log)
        if time.monotonic() > end:
            secured.node.kill()
            raise LocalError(
                f"OpenSearch with its security plugin was not ready in {_START_SECONDS} s. Its log: {log}."
            )
        time.sleep(0.2)


def _assembled() -> Path:
    digest = hashlib.sha256((_HERE / "pom.xml").read_bytes()).hexdigest()[:12]
    return node.BUILT / f"security-{digest}"
