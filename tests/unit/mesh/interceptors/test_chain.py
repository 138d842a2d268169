from mesh.clock import FakeClock
from mesh.interceptors import chain
from mesh.streams import OpenStreams
from tests.support.mesh import TokenIssuer


def test_the_interceptors_stand_in_the_order_of_the_design() -> None:
    made = chain({}, TokenIssuer().verifier(), None, OpenStreams(None, FakeClock()))
    assert [interceptor.name for interceptor in made] == [
        "request id",
        "log and metrics",
        "auth",
        "tenant",
        "deadline budget",
        "errors",
        "validation",
    ]


def test_only_the_outermost_writes_to_the_wire() -> None:
    made = chain({}, TokenIssuer().verifier(), None, OpenStreams(None, FakeClock()))
    assert [interceptor.outermost for interceptor in made] == [True] + [False] * 6
