"""CustomerService on the wire: reading. Corrections and erasure come with a later version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from footfall.identity.v1 import customer_pb2, customer_pb2_grpc, customer_profile_pb2
from footfall.type.v1 import face_pb2

from mesh.access import Role
from mesh.auth import Caller, current_caller
from mesh.database import Tx
from mesh.errors import NotFound
from mesh.ids import CustomerId, SiteId
from mesh.interceptors.base import Context
from mesh.paging import PageTokens, page_size
from mesh.wire import moment, timestamp
from svc_identity.customers import store
from svc_identity.customers.domain import Customer, CustomerState, Filter, OrderBy, Position
from svc_identity.transactions import Transactions

_STATES: Final = "CUSTOMER_STATE_"
_ACTIVE: Final = frozenset({CustomerState.ACTIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerServicer(customer_pb2_grpc.CustomerServiceServicer):
    """
    Attributes:
        transactions: one per RPC.
        pages: reads and makes page tokens.
    """

    transactions: Transactions
    pages: PageTokens

    async def ListCustomers(
        self, request: customer_pb2.ListCustomersRequest, _context: Context
    ) -> customer_pb2.ListCustomersResponse:
        caller, size = current_caller(), page_size(request.page_size)
        wanted = _filter(request, caller)
        name, _, direction = (request.order_by or "last_visit_time desc").partition(" ")
        order = OrderBy(name)
        after = _position(self.pages.decode(request, caller.tenant), order)

        async def work(tx: Tx, _caller: Caller) -> list[Customer]:
            return await store.list_customers(tx, wanted, order, after, size + 1, descending=bool(direction))

        found = await self.transactions.read(work)
        response = customer_pb2.ListCustomersResponse(customers=[customer_message(one) for one in found[:size]])
        if len(found) > size:
            response.next_page_token = self.pages.encode(request, caller.tenant, found[size - 1].position(order))
        return response

    async def GetCustomer(
        self, request: customer_pb2.GetCustomerRequest, _context: Context
    ) -> customer_pb2.GetCustomerResponse:
        customer_id = CustomerId(UUID(request.id))

        async def work(tx: Tx, caller: Caller) -> Customer | None:
            return await store.get_customer(tx, customer_id, seen_only=_held_to_sites(caller))

        found = await self.transactions.read(work)
        if found is None:
            raise NotFound("customer", customer_id)
        return customer_pb2.GetCustomerResponse(customer=customer_message(found))


def customer_message(customer: Customer) -> customer_profile_pb2.CustomerProfile:
    """A customer in the contract's words."""
    return customer_profile_pb2.CustomerProfile(
        id=str(customer.id),
        display_name=customer.display_name,
        external_id=customer.external_id,
        note=customer.note,
        gender=face_pb2.Gender.Value(f"GENDER_{customer.gender or 'UNSPECIFIED'}"),
        state=customer_profile_pb2.CustomerState.Value(_STATES + customer.state.value),
        merged_into=str(customer.merged_into) if customer.merged_into else None,
        image_id=str(customer.image_id) if customer.image_id else None,
        embedding_count=customer.embedding_count,
        visit_count=customer.visit_count,
        first_visit_time=timestamp(customer.first_visit_time),
        last_visit_time=timestamp(customer.last_visit_time),
        last_site_id=str(customer.last_site_id) if customer.last_site_id else None,
        expire_time=timestamp(customer.expire_time),
        create_time=timestamp(customer.create_time),
        update_time=timestamp(customer.update_time),
    )


def _filter(request: customer_pb2.ListCustomersRequest, caller: Caller) -> Filter:
    site_ids = frozenset(SiteId(UUID(site)) for site in request.site_ids)
    for site_id in site_ids:
        caller.check_site(site_id)
    names = (customer_profile_pb2.CustomerState.Name(state) for state in request.states)
    return Filter(
        states=frozenset(CustomerState(name.removeprefix(_STATES)) for name in names) or _ACTIVE,
        site_ids=site_ids,
        external_id=request.external_id,
        display_name_prefix=request.display_name_prefix,
        start_time=moment("start_time", request.start_time) if request.HasField("start_time") else None,
        end_time=moment("end_time", request.end_time) if request.HasField("end_time") else None,
        min_visit_count=request.min_visit_count,
        seen_only=_held_to_sites(caller),
    )


def _held_to_sites(caller: Caller) -> bool:
    return caller.role is Role.SITE_MANAGER or caller.visible_sites is not None


def _position(position: list[Any] | None, order: OrderBy) -> Position | None:
    if position is None:
        return None
    value = int(position[0]) if order is OrderBy.VISIT_COUNT else datetime.fromisoformat(position[0])
    return value, CustomerId(UUID(position[1]))
