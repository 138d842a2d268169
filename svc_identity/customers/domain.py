"""Customers as they are read, and the rules of their life that need no picture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias

from mesh.ids import CustomerId, ImageId, SiteId

#: Stands for "never" where customers are put in an order.
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: Where a page of a list ended: the value that orders it, and the id.
Position: TypeAlias = tuple[datetime | int, CustomerId]


class CustomerState(StrEnum):
    """As footfall.identity.v1.CustomerState."""

    PROVISIONAL = "PROVISIONAL"
    ACTIVE = "ACTIVE"
    MERGED = "MERGED"
    CONVERTED = "CONVERTED"
    FORGOTTEN = "FORGOTTEN"


class OrderBy(StrEnum):
    """What a list can be ordered by; ties go by id."""

    LAST_VISIT_TIME = "last_visit_time"
    VISIT_COUNT = "visit_count"
    CREATE_TIME = "create_time"


@dataclass(frozen=True, slots=True)
class Customer:
    """A person who was seen: what people wrote down, and numbers of the visits that the reader may see."""

    id: CustomerId
    state: CustomerState
    display_name: str
    external_id: str
    note: str
    #: As footfall.type.v1.Gender without its prefix; None: not entered.
    gender: str | None
    merged_into: CustomerId | None
    image_id: ImageId | None
    embedding_count: int
    visit_count: int
    first_visit_time: datetime | None
    last_visit_time: datetime | None
    last_site_id: SiteId | None
    expire_time: datetime | None
    create_time: datetime
    update_time: datetime

    def position(self, order: OrderBy) -> Position:
        """Where it stands in a list."""
        match order:
            case OrderBy.VISIT_COUNT:
                return self.visit_count, self.id
            case OrderBy.CREATE_TIME:
                return self.create_time, self.id
            case OrderBy.LAST_VISIT_TIME:
                return self.last_visit_time or LONG_AGO, self.id


@dataclass(frozen=True, slots=True)
class Filter:
    """Which customers are listed."""

    states: frozenset[CustomerState] = frozenset({CustomerState.ACTIVE})
    #: With a visit at one of these; empty: no filter.
    site_ids: frozenset[SiteId] = frozenset()
    external_id: str = ""
    display_name_prefix: str = ""
    #: Bounds of the last visit's start: from (inclusive), until (exclusive).
    start_time: datetime | None = None
    end_time: datetime | None = None
    min_visit_count: int = 0
    #: Only those who were seen where the reader may look: a site_manager's.
    seen_only: bool = False
