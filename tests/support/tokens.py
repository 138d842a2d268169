"""Access tokens as the registry signs them, and the public keys to verify them with."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

TENANT = "0197a1c2-0000-7000-8000-00000000000a"


class SigningKey:
    """An RSA key with a ``kid``."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, *, lifetime_seconds: float = 900, algorithm: str = "RS256", **claims: Any) -> str:
        """A token of a viewer of TENANT; ``claims`` replace or (with None) remove what it says.

        ``algorithm`` other than RS256 forges: "none" leaves out the signature, "HS256" signs with the public key.
        """
        now = dt.datetime.now(dt.UTC)
        payload: dict[str, Any] = {
            "iss": "footfall",
            "aud": "footfall",
            "sub": "0197a1c2-0000-7000-8000-000000000001",
            "tenant_id": TENANT,
            "role": "VIEWER",
            "fam": "0197a1c2-0000-7000-8000-000000000002",
            "jti": "0197a1c2-0000-7000-8000-000000000003",
            "iat": now,
            "exp": now + dt.timedelta(seconds=lifetime_seconds),
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        headers = {"kid": self.kid}
        if algorithm == "RS256":
            return jwt.encode(payload, self._private, algorithm="RS256", headers=headers)
        secret = "" if algorithm == "none" else self.jwk()["n"]
        return jwt.encode(payload, secret, algorithm=algorithm, headers=headers)

    def jwk(self) -> dict[str, str]:
        """The public part as a JSON Web Key."""
        numbers = self._private.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": _base64url(numbers.n),
            "e": _base64url(numbers.e),
        }


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
