import base64
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from footfall.registry.v1 import site_pb2, user_pb2
from google.protobuf.message import Message

from mesh.clock import FakeClock
from mesh.errors import InvalidField
from mesh.ids import TenantId
from mesh.keyring import Key, KeyRing
from mesh.paging import MOST_SIZE, PageTokens, page_size

TENANT, OTHER = TenantId(uuid4()), TenantId(uuid4())
REQUEST = user_pb2.ListUsersRequest(page_size=10)
RING = KeyRing([Key("a", b"a" * 32)])


M = TypeVar("M", user_pb2.ListUsersRequest, site_pb2.ListSiteRulesRequest)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(clock: FakeClock) -> PageTokens:
    return PageTokens(RING, clock)


def _next(request: M, token: str) -> M:
    following = type(request)()
    following.CopyFrom(request)
    following.page_token = token
    return following


def _refused(tokens: PageTokens, request: Message, tenant: TenantId = TENANT) -> str:
    with pytest.raises(InvalidField) as refused:
        tokens.decode(request, tenant)
    assert refused.value.violations[0].field == "page_token"
    return refused.value.reason_name


def test_the_first_page_has_no_position(tokens: PageTokens) -> None:
    assert tokens.decode(REQUEST, TENANT) is None


def test_the_next_page_begins_where_the_last_one_ended(tokens: PageTokens) -> None:
    last = UUID(int=7)
    token = tokens.encode(REQUEST, TENANT, [datetime(2026, 1, 2, tzinfo=UTC), last, 3, None])
    assert tokens.decode(_next(REQUEST, token), TENANT) == ["2026-01-02T00:00:00+00:00", str(last), 3, None]


def test_the_size_may_change_from_page_to_page(tokens: PageTokens) -> None:
    following = _next(REQUEST, tokens.encode(REQUEST, TENANT, [1]))
    following.page_size = 20
    assert tokens.decode(following, TENANT) == [1]


def test_a_token_of_another_tenant_is_refused(tokens: PageTokens) -> None:
    following = _next(REQUEST, tokens.encode(REQUEST, TENANT, [1]))
    assert _refused(tokens, following, OTHER) == "PAGE_TOKEN_INVALID"


def test_a_token_of_another_filter_is_refused(tokens: PageTokens) -> None:
    token = tokens.encode(site_pb2.ListSiteRulesRequest(site_id="one"), TENANT, [1])
    following = site_pb2.ListSiteRulesRequest(site_id="another", page_token=token)
    assert _refused(tokens, following) == "PAGE_TOKEN_INVALID"


def test_a_token_of_another_rpc_is_refused(tokens: PageTokens) -> None:
    following = site_pb2.ListSitesRequest(page_token=tokens.encode(user_pb2.ListUsersRequest(), TENANT, [1]))
    assert _refused(tokens, following) == "PAGE_TOKEN_INVALID"


def test_every_changed_character_is_noticed(tokens: PageTokens) -> None:
    raw = base64.urlsafe_b64decode(tokens.encode(REQUEST, TENANT, [1]) + "==")
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        token = base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("=")
        assert _refused(tokens, _next(REQUEST, token)) == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize("token", ["x", "%%%", "AAAA", "é", "A" * 4096])
def test_what_is_no_token_is_refused(tokens: PageTokens, token: str) -> None:
    assert _refused(tokens, _next(REQUEST, token)) == "PAGE_TOKEN_INVALID"


def test_a_token_lives_for_a_day(tokens: PageTokens, clock: FakeClock) -> None:
    following = _next(REQUEST, tokens.encode(REQUEST, TENANT, [1]))
    clock.advance(24 * 3600)
    assert tokens.decode(following, TENANT) == [1]
    clock.advance(1)
    assert _refused(tokens, following) == "PAGE_TOKEN_INVALID"


def test_a_token_survives_a_rotation_of_the_keys(clock: FakeClock) -> None:
    token = PageTokens(RING, clock).encode(REQUEST, TENANT, [1])
    rotated = PageTokens(KeyRing([Key("b", b"b" * 32), Key("a", b"a" * 32)]), clock)
    assert rotated.decode(_next(REQUEST, token), TENANT) == [1]


def test_a_position_holds_only_what_json_can_say(tokens: PageTokens) -> None:
    with pytest.raises(TypeError, match="bytes"):
        tokens.encode(REQUEST, TENANT, [b"x"])


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (500, 500), (501, MOST_SIZE), (10**9, MOST_SIZE)])
def test_a_page_is_as_large_as_asked_within_its_limit(asked: int, given: int) -> None:
    assert page_size(asked) == given


def test_a_negative_page_is_refused() -> None:
    with pytest.raises(InvalidField, match="page_size"):
        page_size(-1)
