"""A laptop's own token issuer: one RSA key pair in a folder that only its owner reads. Never used on AWS."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from candid.access.principal import Role
from candid.access.tokens import MAX_LIFETIME_SECONDS


@dataclass(frozen=True, slots=True)
class LocalKeys:
    """A key pair and the tokens that it signs."""

    _private: RSAPrivateKey
    key_id: str

    @classmethod
    def load_or_create(cls, folder: Path) -> LocalKeys:
        """The pair in ``folder`` (made on first use; file mode 0600, folder mode 0700)."""
        path = folder / "token-signing-key.pem"
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            part = path.with_name(f".{path.name}.{os.getpid()}")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(fresh)
            try:
                os.link(part, path)  # Unlike a rename, a link never replaces the key of a process that was quicker.
            except FileExistsError:
                pass
            finally:
                part.unlink()
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(private, RSAPrivateKey):
            raise TypeError(f"{path} holds no RSA key. Delete it and start again.")
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(private, sha256(public).hexdigest()[:16])

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        key = json.loads(RSAAlgorithm.to_jwk(self._private.public_key()))
        return {"keys": [{**key, "kid": self.key_id, "use": "sig", "alg": "RS256"}]}

    def issue(
        self, *, issuer: str, audience: str, user: str, agency: str, roles: Collection[Role], lifetime: int = 8 * 3600
    ) -> str:
        """A token for ``lifetime`` seconds (at most 12 hours)."""
        now = int(time.time())
        claims = {
            "iss": issuer,
            "aud": audience,
            "sub": user,
            "agency": agency,
            "roles": sorted(role.value for role in roles),
            "iat": now,
            "exp": now + min(lifetime, MAX_LIFETIME_SECONDS),
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(claims, self._private, algorithm="RS256", headers={"kid": self.key_id})
