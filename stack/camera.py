"""`python -m stack camera rtsp://…`: from a running mesh to a watched camera in one command.

The first camera brings along what it needs: a tenant, its first user, the site, and an agent on this machine. What was
made is noted in the home, so the next camera joins it, and an interrupted call goes on where it was.
"""

from __future__ import annotations

import getpass
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from stack import admin, agents, files
from stack.agents import Agent
from stack.client import Gateway
from stack.environment import Surroundings
from stack.home import Home
from stack.onboard import Onboarding, Person, Source

TENANT: Final = "My shop"
EMAIL: Final = "owner@footfall.local"
LAWFUL_BASIS: Final = "not recorded yet: to be stated by the operator"


@dataclass(frozen=True, slots=True)
class Desk:
    """What this command made so far."""

    email: str = EMAIL
    password: str = field(default="", repr=False)
    tenant_id: str = ""
    has_user: bool = False
    sites: dict[str, str] = field(default_factory=dict)
    """Ids by name."""
    agents: dict[str, str] = field(default_factory=dict)
    """Names of agents by site's id."""

    @classmethod
    def load(cls, home: Home) -> Desk:
        """An empty one before the first camera. Raises ValueError for a damaged file."""
        content = files.read_json(home.desk)
        return cls(password=secrets.token_urlsafe(12)) if content is None else cls(**content)

    def save(self, home: Home) -> Desk:
        """Itself, kept."""
        content = {name: getattr(self, name) for name in self.__slots__}
        files.write(home.desk, json.dumps(content, indent=2) + "\n", mode=files.SECRET, durable=True)
        return self


@dataclass(frozen=True, slots=True)
class Wanted:
    """The camera to add."""

    address: str = field(repr=False)
    name: str
    role: str
    site: str
    time_zone: str


async def add(around: Surroundings, wanted: Wanted, ask: Callable[[str], str] = getpass.getpass) -> Desk:
    """Adds the camera, and before it whatever it lacks. Raises grpc.aio.AioRpcError, OSError, ValueError."""
    home, source = around.home, Source.parse(wanted.address)
    if source.username and not source.password:
        source = replace(source, password=ask(f"password of {source.username} at the camera: "))
    desk = Desk.load(home).save(home)
    async with Gateway(around) as gateway:
        login = await admin.ensure(around)
        operator = await gateway.sign_in(login.email, login.password)
        if not desk.tenant_id:
            desk = replace(desk, tenant_id=await Onboarding(gateway, operator).tenant(TENANT)).save(home)
        if not desk.has_user:
            await Onboarding(gateway, operator.acting_for(desk.tenant_id)).user(Person(desk.email, desk.password))
            desk = replace(desk, has_user=True).save(home)
        owner = Onboarding(gateway, await gateway.sign_in(desk.email, desk.password))
        if wanted.site not in desk.sites:
            site_id = await owner.site(wanted.site, time_zone=wanted.time_zone, lawful_basis=LAWFUL_BASIS)
            desk = replace(desk, sites=desk.sites | {wanted.site: site_id}).save(home)
        site_id = desk.sites[wanted.site]
        await owner.camera(site_id, wanted.name, source, wanted.role)
        if site_id not in desk.agents:
            name = f"desk-{len(desk.agents) + 1}"
            agents.add(home, Agent(name, await owner.worker_key(site_id, f"agent {name} at {wanted.site}")))
            desk = replace(desk, agents=desk.agents | {site_id: name}).save(home)
    return desk
