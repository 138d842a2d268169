"""The client library: a channel to the gateway, a token that stays fresh, and streams that survive an outage.

`footfall_client.watch` shows the ten lines that watch visits; `footfall_client.report` those that pull a report.
"""

from footfall_client.backoff import FullJitter
from footfall_client.channel import Connect, connector, server_stream, unary
from footfall_client.errors import Refused
from footfall_client.report import Reports, reports
from footfall_client.token import ApiKey, Password, Token, Tokens
from footfall_client.watch import FeedEnded, watch_visits

__all__ = [
    "ApiKey",
    "Connect",
    "FeedEnded",
    "FullJitter",
    "Password",
    "Refused",
    "Reports",
    "Token",
    "Tokens",
    "connector",
    "reports",
    "server_stream",
    "unary",
    "watch_visits",
]
