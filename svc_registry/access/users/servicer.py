"""AuthService: users, between protobuf and the domain."""

from __future__ import annotations

from uuid import UUID

from footfall.registry.v1 import user_pb2

from mesh.auth import Caller, current_caller
from mesh.database import Tx
from mesh.errors import InvalidField
from mesh.ids import SiteId, UserId
from mesh.interceptors.base import Context
from mesh.paging import PageTokens, page_size
from mesh.wire import timestamp
from svc_registry.access.passwords import Passwords
from svc_registry.access.users import store
from svc_registry.access.users.domain import User, UserChange, UserDraft
from svc_registry.access.users.service import Users
from svc_registry.transactions import Transactions
from svc_registry.wire import role_of, role_to_proto


class UserServicer:
    """The RPCs of AuthService about users."""

    def __init__(self, users: Users, passwords: Passwords, transactions: Transactions, pages: PageTokens) -> None:
        self._users = users
        self._passwords = passwords
        self._transactions = transactions
        self._pages = pages

    async def ListUsers(self, request: user_pb2.ListUsersRequest, _context: Context) -> user_pb2.ListUsersResponse:
        tenant_id, size = current_caller().acting_tenant, page_size(request.page_size)
        position = self._pages.decode(request, tenant_id)
        roles = [role_of(role) for role in request.roles]

        async def work(tx: Tx, _caller: Caller) -> list[User]:
            return await store.list_users(tx, roles, position[0] if position else None, size + 1)

        found = await self._transactions.read(work)
        response = user_pb2.ListUsersResponse(users=[_to_proto(user) for user in found[:size]])
        if len(found) > size:
            response.next_page_token = self._pages.encode(request, tenant_id, [found[size - 1].email.lower()])
        return response

    async def GetUser(self, request: user_pb2.GetUserRequest, _context: Context) -> user_pb2.GetUserResponse:
        user_id = UserId(UUID(request.id))
        user = await self._transactions.read(lambda tx, _caller: self._users.get(tx, user_id))
        return user_pb2.GetUserResponse(user=_to_proto(user))

    async def CreateUser(self, request: user_pb2.CreateUserRequest, _context: Context) -> user_pb2.CreateUserResponse:
        wanted = request.user
        draft = UserDraft(
            email=wanted.email,
            display_name=wanted.display_name,
            role=role_of(wanted.role),
            site_ids=_sites(wanted),
            disabled=wanted.disabled,
            # Before the transaction: it takes a tenth of a second of a core.
            password_hash=await self._passwords.hash(wanted.password) if wanted.password else None,
        )

        async def work(tx: Tx, caller: Caller) -> user_pb2.CreateUserResponse:
            return user_pb2.CreateUserResponse(user=_to_proto(await self._users.create(tx, caller, draft)))

        return await self._transactions.write(request, user_pb2.CreateUserResponse, work)

    async def UpdateUser(self, request: user_pb2.UpdateUserRequest, _context: Context) -> user_pb2.UpdateUserResponse:
        change = _change(request)
        user_id = UserId(UUID(request.user.id))

        async def work(tx: Tx, caller: Caller) -> user_pb2.UpdateUserResponse:
            user = await self._users.update(tx, caller, user_id, change)
            return user_pb2.UpdateUserResponse(user=_to_proto(user))

        return await self._transactions.write(request, user_pb2.UpdateUserResponse, work)

    async def DeleteUser(self, request: user_pb2.DeleteUserRequest, _context: Context) -> user_pb2.DeleteUserResponse:
        async def work(tx: Tx, caller: Caller) -> user_pb2.DeleteUserResponse:
            await self._users.delete(tx, caller, UserId(UUID(request.id)))
            return user_pb2.DeleteUserResponse()

        return await self._transactions.write(request, user_pb2.DeleteUserResponse, work)

    async def SetUserPassword(
        self, request: user_pb2.SetUserPasswordRequest, _context: Context
    ) -> user_pb2.SetUserPasswordResponse:
        password_hash = await self._passwords.hash(request.password)

        async def work(tx: Tx, caller: Caller) -> user_pb2.SetUserPasswordResponse:
            user_id = UserId(UUID(request.id))
            await self._users.set_password(tx, caller, user_id, password_hash, request.current_password)
            return user_pb2.SetUserPasswordResponse()

        return await self._transactions.write(request, user_pb2.SetUserPasswordResponse, work)


def _change(request: user_pb2.UpdateUserRequest) -> UserChange:
    wanted, named = request.user, frozenset(request.update_mask.paths)
    if "email" in named and not wanted.email:
        raise InvalidField("user.email", "must not be empty")
    if "role" in named and not wanted.role:
        raise InvalidField("user.role", "must not be empty")
    return UserChange(
        email=wanted.email if "email" in named else None,
        display_name=wanted.display_name if "display_name" in named else None,
        role=role_of(wanted.role) if "role" in named else None,
        site_ids=_sites(wanted) if "site_ids" in named else None,
        disabled=wanted.disabled if "disabled" in named else None,
    )


def _sites(user: user_pb2.User) -> frozenset[SiteId]:
    return frozenset(SiteId(UUID(site_id)) for site_id in user.site_ids)


def _to_proto(user: User) -> user_pb2.User:
    return user_pb2.User(
        id=str(user.id),
        email=user.email,
        display_name=user.display_name,
        role=role_to_proto(user.role),
        site_ids=sorted(map(str, user.site_ids)),
        disabled=user.disabled,
        create_time=timestamp(user.create_time),
        update_time=timestamp(user.update_time),
        sign_in_time=timestamp(user.sign_in_time),
    )
