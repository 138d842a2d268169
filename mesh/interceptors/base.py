"""What every interceptor is made of: something around the RPC, and a look at each message that comes in.

One subclass serves all four kinds of RPC. Around a stream means around its whole life. The outermost interceptor writes
the responses itself, so that when an RPC is cancelled in the middle of a write, everything inside is closed at once and
in order, in the RPC's own task, and not some time later by the garbage collector.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, TypeAlias

import grpc
from grpc_status import rpc_status

from mesh.errors import MeshError, to_status

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True)
class Rpc:
    """One call.

    Attributes:
        method: "/package.Service/Method".
        context: gRPC's.
        streaming: it is a stream in one direction or both.
    """

    method: str
    context: Context
    streaming: bool

    def header(self, key: str) -> str | None:
        """The first value of a metadata key; None without one."""
        for name, value in self.context.invocation_metadata() or ():
            if name == key:
                return value if isinstance(value, str) else value.decode("utf-8", "replace")
        return None


class Interceptor(grpc.aio.ServerInterceptor):
    """Override `around`, `receive`, or both."""

    # In the chain's order test, and nowhere else.
    name: ClassVar[str]
    # The outermost one drives the responses (see the module's docstring).
    outermost: ClassVar[bool] = False

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:  # noqa: ARG002
        """Around the whole call. To refuse it, `await refuse(rpc.context, error)`."""
        yield

    def receive(self, rpc: Rpc, message: Any) -> None:
        """Sees each request message before the handler does; may raise."""

    def sending(self, rpc: Rpc) -> None:
        """A response message of a stream goes out."""

    def sent(self, rpc: Rpc) -> None:
        """It is out, and the handler goes on; may raise."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """gRPC's hook: the handler of this call, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        # The handlers of a server never change, so each is wrapped once, and not at every call.
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            self._wrapped[method] = known = (handler, self._wrap(handler, method))
        return known[1]

    def _wrap(self, handler: Handler, method: str) -> Handler:
        streaming = handler.request_streaming or handler.response_streaming

        def rpc(context: Context) -> Rpc:
            return Rpc(method, context, streaming)

        codecs = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            stream = self._stream(handler, rpc)
            behaviour = _written(stream) if self.outermost else stream
            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(behaviour, **codecs)
            return grpc.unary_stream_rpc_method_handler(behaviour, **codecs)
        single = self._single(handler, rpc)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(single, **codecs)
        return grpc.unary_unary_rpc_method_handler(single, **codecs)

    def _single(self, handler: Handler, rpc_of: Callable[[Context], Rpc]) -> Callable[[Any, Context], Awaitable[Any]]:
        inner: Any = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def behaviour(request: Any, context: Context) -> Any:
            rpc = rpc_of(context)
            async with self.around(rpc):
                return await inner(self._request(rpc, request, handler.request_streaming), context)

        return behaviour

    def _stream(
        self, handler: Handler, rpc_of: Callable[[Context], Rpc]
    ) -> Callable[[Any, Context], AsyncIterator[Any]]:
        inner: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def behaviour(request: Any, context: Context) -> AsyncIterator[Any]:
            rpc = rpc_of(context)
            async with self.around(rpc):
                answer = inner(self._request(rpc, request, handler.request_streaming), context)
                if not hasattr(answer, "__aiter__"):
                    await answer  # a handler that calls context.write
                    return
                async with aclosing(answer):
                    async for message in answer:
                        self.sending(rpc)
                        yield message
                        self.sent(rpc)

        return behaviour

    def _request(self, rpc: Rpc, request: Any, streaming: bool) -> Any:
        if type(self).receive is Interceptor.receive:
            return request
        if streaming:
            return self._received(rpc, request)
        self.receive(rpc, request)
        return request

    async def _received(self, rpc: Rpc, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for message in requests:
            self.receive(rpc, message)
            yield message


def _written(stream: Callable[[Any, Context], AsyncIterator[Any]]) -> Callable[[Any, Context], Awaitable[None]]:
    async def behaviour(request: Any, context: Context) -> None:
        async with aclosing(stream(request, context)) as responses:  # type: ignore[type-var]  # a generator
            async for message in responses:
                await context.write(message)

    return behaviour


async def refuse(context: Context, error: MeshError) -> NoReturn:
    """Ends the call with the error's rich status. Raises gRPC's AbortError, which nobody may swallow."""
    status = rpc_status.to_status(to_status(error))
    # abort_with_status would drop what is in the trailing metadata already: the request id.
    await context.abort(status.code, status.details, (*status.trailing_metadata, *(context.trailing_metadata() or ())))
    raise AssertionError  # abort has raised
