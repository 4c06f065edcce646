"""Bearer tokens: a JWT signed by the agency's issuer (RS256, keys from the issuer's JWKS). Not here: who issues them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from jwt import PyJWKClient, PyJWKClientConnectionError, PyJWTError

from candid.access.principal import AGENCY, USER, Principal, parse_roles
from candid.errors import DependencyUnavailable, NotAuthenticated

MAX_LIFETIME_SECONDS: Final = 12 * 3600
"""A token that lives longer than a shift is refused: it could not be taken back."""
CLOCK_SKEW_SECONDS: Final = 60
MAX_TOKEN_LENGTH: Final = 8192
_MEND: Final = "Ask whoever runs your agency's issuer to mend that."


class TokenVerifier:
    """Checks tokens of one issuer. Keeps the issuer's keys for five minutes; fetches them again for an unknown key id."""

    def __init__(self, issuer: str, audience: str, jwks_url: str) -> None:
        """``jwks_url`` is https, or http on the loopback interface (a laptop). Raises ``ValueError`` otherwise."""
        url = urlsplit(jwks_url)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in {"127.0.0.1", "::1", "localhost"}):
            raise ValueError("TOKEN_JWKS_URL must be https: whoever can change the keys can sign tokens.")
        self._issuer = issuer
        self._audience = audience
        self._keys = PyJWKClient(jwks_url, cache_jwk_set=True, lifespan=300, timeout=3)

    def verify(self, token: str) -> Principal:
        """The principal that ``token`` carries.

        Raises ``NotAuthenticated`` for a token that is not valid now (the sentence says why), ``DependencyUnavailable`` when
        the issuer's keys can't be fetched.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise NotAuthenticated(
                f"A token has at most {MAX_TOKEN_LENGTH:,} characters, all of them ASCII. Get a new one."
            )
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except PyJWKClientConnectionError as error:
            raise DependencyUnavailable(
                "The token issuer's keys can't be fetched now. Try again in a minute."
            ) from error
        except jwt.ExpiredSignatureError as error:
            raise NotAuthenticated("The token has expired. Get a new one.") from error
        except PyJWTError as error:
            raise NotAuthenticated("The token is not valid here. Get one of your agency's issuer.") from error
        return _principal(claims)


def _principal(claims: dict[str, Any]) -> Principal:
    expires, issued = claims["exp"], claims["iat"]
    # PyJWT takes "1795741774" for a number too.
    if not isinstance(expires, int | float) or not isinstance(issued, int | float):
        raise NotAuthenticated(f"The token's times (claims exp and iat) must be numbers: seconds since 1970. {_MEND}")
    # A sum: the difference of a fraction and an integer of hundreds of digits is none that a float can hold.
    if expires > issued + MAX_LIFETIME_SECONDS:
        raise NotAuthenticated("The token lives longer than 12 hours. Get one with a shorter life.")
    agency, user, roles = claims.get("agency"), claims["sub"], claims.get("roles")
    if not isinstance(agency, str) or not AGENCY.fullmatch(agency):
        raise NotAuthenticated(
            f"The token names no agency that Candid can serve (claim agency: a-z, 0-9 and hyphens). {_MEND}"
        )
    if not isinstance(user, str) or not USER.fullmatch(user):
        raise NotAuthenticated(
            f"The token's user (claim sub) must be 1 to 128 printable ASCII characters without spaces. {_MEND}"
        )
    words = roles.split() if isinstance(roles, str) else roles
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise NotAuthenticated(f"The token's roles (claim roles) must be a list of words. {_MEND}")
    return Principal(agency, user, parse_roles(words))
