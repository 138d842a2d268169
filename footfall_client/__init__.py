"""The client library: a channel to the gateway, a token that stays fresh, and streams that survive an outage."""
