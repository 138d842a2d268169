"""Connections to the gateway. Each is an HTTP/2 connection of its own: streams must not starve calls beside them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar

import betterproto2
import grpc

from footfall_client.errors import Refused, refused

ResponseT = TypeVar("ResponseT", bound=betterproto2.Message)
ToSend_contra = TypeVar("ToSend_contra", bound=betterproto2.Message, contravariant=True)
ToRead_co = TypeVar("ToRead_co", bound=betterproto2.Message, covariant=True)

LARGEST_MESSAGE: Final = 24 * 1024 * 1024
"""Bytes; ingest's own limit, so that a large item is refused by itself and not with its stream."""

OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    # A dead line is noticed within 30 s, also while nothing is said; measured keys (others have no effect).
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Without this, channels with equal options would share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's own reconnecting must not be slower than the backoff that stands above it.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
)

Connect = Callable[[], grpc.aio.Channel]
"""Opens a connection of its own. Whoever calls it closes it."""


class Bidi(Protocol[ToSend_contra, ToRead_co]):
    """A stream in both directions, as grpc.aio has it."""

    async def write(self, request: ToSend_contra) -> None:
        """Sends; waits while the peer takes no more."""
        ...

    async def done_writing(self) -> None:
        """Half-closes."""
        ...

    def cancel(self) -> bool:
        """Ends the call."""
        ...

    def __aiter__(self) -> AsyncIterator[ToRead_co]:
        """What the peer says."""
        ...


def connector(target: str, *, ca: bytes | None = None, server_name: str | None = None) -> Connect:
    """A way to open TLS connections to a gateway.

    Args:
        target: host:port.
        ca: PEM of who signed the gateway's certificate; None for the system's authorities.
        server_name: the name in the certificate, when it is not the host's.
    """
    options: list[tuple[str, int | str]] = [*OPTIONS]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))

    def connect() -> grpc.aio.Channel:
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(ca), options=options)

    return connect


async def unary(
    channel: grpc.aio.Channel,
    method: str,
    request: betterproto2.Message,
    answer: type[ResponseT],
    *,
    token: str | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109  it travels as the call's deadline
) -> ResponseT:
    """One call. `method`: "/footfall.registry.v1.AuthService/IssueToken". Raises `Refused`."""
    call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=answer.parse)
    try:
        response: ResponseT = await call(request, metadata=authorization(token), timeout=timeout, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        raise refused(error) from error
    except asyncio.InvalidStateError as error:  # grpc.aio's own race when a connection dies under a read
        raise Refused(grpc.StatusCode.UNAVAILABLE, "", "the connection ended", 0.0) from error
    return response


async def server_stream(
    channel: grpc.aio.Channel, method: str, request: betterproto2.Message, answer: type[ResponseT], *, token: str
) -> AsyncGenerator[ResponseT, None]:
    """A stream of answers; ends with the call, which is cancelled when the reader leaves. Raises `Refused`."""
    call = channel.unary_stream(method, request_serializer=bytes, response_deserializer=answer.parse)(
        request, metadata=authorization(token), wait_for_ready=True
    )
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise refused(error) from error
    except asyncio.InvalidStateError as error:  # grpc.aio's own race when a connection dies under a read
        raise ConnectionError("the connection ended") from error
    finally:
        call.cancel()


@asynccontextmanager
async def bidi(
    channel: grpc.aio.Channel, method: str, answer: type[ResponseT], *, token: str
) -> AsyncIterator[Bidi[betterproto2.Message, ResponseT]]:
    """A stream in both directions, cancelled at the end of the context. Raises `Refused` and ConnectionError."""
    call = channel.stream_stream(method, request_serializer=bytes, response_deserializer=answer.parse)(
        metadata=authorization(token), wait_for_ready=True
    )
    try:
        yield call
    except grpc.aio.AioRpcError as error:
        raise refused(error) from error
    except asyncio.InvalidStateError as error:
        raise ConnectionError("the connection ended") from error
    finally:
        call.cancel()


def authorization(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),) if token else ()
