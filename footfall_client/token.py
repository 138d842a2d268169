"""A token that stays fresh: asked for once, however many want it, and renewed before it expires."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog
from footfall_messages.footfall.registry import v1 as registry

from footfall_client.channel import Connect, unary
from footfall_client.errors import Refused
from mesh.clock import Clock

ISSUE: Final = "/footfall.registry.v1.AuthService/IssueToken"

RENEW_AT: Final = 1 / 3
"""Of its life left: then a token is renewed."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Password:
    """A person's credential."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A machine's credential."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and what it is good for."""

    value: str = field(repr=False)
    renew_at: float
    """By the clock's monotonic seconds: from then on there should be a newer one."""
    expires_at: float
    """By the same clock: from then on it is refused."""
    tenant_id: str
    """Empty for system_admin."""
    worker_id: str
    """Of a worker's key; else empty."""
    refresh: str = field(repr=False)
    """Empty for an API key."""


class Tokens:
    """One principal's token. Safe to ask from many tasks."""

    def __init__(self, connect: Connect, credential: Password | ApiKey, clock: Clock) -> None:
        """Asks for nothing yet."""
        self._connect, self._credential, self._clock = connect, credential, clock
        self._token: Token | None = None
        self._asking: asyncio.Task[Token] | None = None

    async def get(self) -> Token:
        """A token that is good for a while. Raises `Refused` when there is none to be had."""
        token, now = self._token, self._clock.monotonic()
        if token is not None and now < token.renew_at:
            return token
        try:
            return await self._single_flight()
        except Refused as error:
            if token is None or now >= token.expires_at or not error.may_pass:
                raise
            # Still good: the gateway may be back before it expires.
            _log.warning("token_not_renewed", reason=error.reason or error.code.name)
            return token

    def spoiled(self, token: Token) -> None:
        """The mesh refused this token: the next `get` asks for another."""
        if self._token is token:
            self._token = None

    async def _single_flight(self) -> Token:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="token")
        # Shielded: whoever gives up waiting must not take the answer from the others.
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Token:
        refresh = self._token.refresh if self._token else ""
        channel = self._connect()
        try:
            if refresh:
                try:
                    return self._keep(await unary(channel, ISSUE, _refresh(refresh), registry.IssueTokenResponse))
                except Refused as error:
                    if error.may_pass:
                        raise
                    # Revoked, or its answer was lost on the way: sign in anew.
            return self._keep(await unary(channel, ISSUE, self._sign_in(), registry.IssueTokenResponse))
        finally:
            await channel.close()

    def _keep(self, answer: registry.IssueTokenResponse) -> Token:
        seconds = answer.expires_in.total_seconds() if answer.expires_in else 0.0
        now = self._clock.monotonic()
        self._token = Token(
            value=answer.access_token,
            renew_at=now + seconds * (1 - RENEW_AT),
            expires_at=now + seconds,
            tenant_id=answer.tenant_id,
            worker_id=answer.worker_id,
            refresh=answer.refresh_token,
        )
        return self._token

    def _sign_in(self) -> registry.IssueTokenRequest:
        match self._credential:
            case Password(email, password):
                return registry.IssueTokenRequest(password=registry.PasswordGrant(email=email, password=password))
            case ApiKey(key):
                return registry.IssueTokenRequest(api_key=registry.ApiKeyGrant(key=key))


def _refresh(token: str) -> registry.IssueTokenRequest:
    return registry.IssueTokenRequest(refresh=registry.RefreshGrant(refresh_token=token))
