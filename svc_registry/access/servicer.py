"""AuthService: one gRPC service, three rooms."""

from __future__ import annotations

from mesh.clock import Clock
from mesh.paging import PageTokens
from svc_registry.access.api_keys.service import ApiKeys
from svc_registry.access.api_keys.servicer import ApiKeyServicer
from svc_registry.access.passwords import Passwords
from svc_registry.access.signing.service import SigningKeys
from svc_registry.access.tokens.service import Tokens
from svc_registry.access.tokens.servicer import TokenServicer
from svc_registry.access.users.service import Users
from svc_registry.access.users.servicer import UserServicer
from svc_registry.transactions import Transactions


class AuthServicer(TokenServicer, UserServicer, ApiKeyServicer):
    """Tokens, users and API keys."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        signing: SigningKeys,
        users: Users,
        passwords: Passwords,
        api_keys: ApiKeys,
        transactions: Transactions,
        pages: PageTokens,
        clock: Clock,
    ) -> None:
        TokenServicer.__init__(self, tokens, signing)
        UserServicer.__init__(self, users, passwords, transactions, pages)
        ApiKeyServicer.__init__(self, api_keys, transactions, pages, clock)
