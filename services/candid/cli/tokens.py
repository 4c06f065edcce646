"""The bearer token of a session: one that was given, or one that the laptop's own key pair issues and renews.

Not here: whether a token is valid. The server checks that; what is read here without checking serves sentences alone.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final, Protocol

import jwt

from candid.access.principal import USER, Role
from candid.cli.problems import NotConfigured

AUDIENCE: Final = "candid"
_RENEW_BEFORE_SECONDS: Final = 600


class TokenSource(Protocol):
    """Hands out the token for the next request."""

    def token(self) -> str:
        """The token to send now."""
        ...

    def renew(self) -> bool:
        """Get another one after a refusal; False where there is no other."""
        ...


class GivenToken:
    """The token in ``CANDID_TOKEN``. ``agency`` and ``user`` are what it claims; None where it can't be read."""

    def __init__(self, token: str) -> None:
        self._token = token
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            claims = {}
        self.agency: str | None = claims.get("agency") if isinstance(claims.get("agency"), str) else None
        self.user: str | None = claims.get("sub") if isinstance(claims.get("sub"), str) else None

    def token(self) -> str:
        """The token, always the same."""
        return self._token

    def renew(self) -> bool:
        """There is no other."""
        return False


class LocalTokens:
    """Tokens of the local stack's issuer, signed here. An import that outlives one gets the next."""

    def __init__(self, issuer: str, keys: Path, agency: str, user: str, roles: frozenset[Role]) -> None:
        if not USER.fullmatch(user):
            raise NotConfigured(
                "A user's name is 1 to 128 printable ASCII characters without spaces. Set CANDID_USER to one."
            )
        self.issuer, self.agency, self.user, self.roles = issuer, agency, user, roles
        self._keys = keys
        self._lock = threading.Lock()
        self._held: tuple[str, float] | None = None

    def token(self) -> str:
        """The token to send now, good for ten minutes at least."""
        with self._lock:
            if self._held is None or self._held[1] - time.time() < _RENEW_BEFORE_SECONDS:
                lifetime = 8 * 3600
                self._held = (self.issue(lifetime), time.time() + lifetime)
            return self._held[0]

    def issue(self, lifetime: int) -> str:
        """A new token for ``lifetime`` seconds. Raises ``NotConfigured`` where the local stack has left no key pair."""
        # The issuer publishes its own key: one made here on the way would be refused by everybody.
        if not any(self._keys.glob("*.pem")):
            raise NotConfigured(f"There is no key pair in {self._keys}. Start the local stack first: `make run`.")
        from candid.access.keys import LocalKeys  # Slow to import, and a given token does not need it.

        return LocalKeys.load_or_create(self._keys).issue(
            issuer=self.issuer,
            audience=AUDIENCE,
            user=self.user,
            agency=self.agency,
            roles=self.roles,
            lifetime=lifetime,
        )

    def renew(self) -> bool:
        """Another token would say the same: the stack may have a new key pair, so one more is worth a try."""
        with self._lock:
            self._held = None
        return True
