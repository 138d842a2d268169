import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from mesh import telemetry

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What is logged meanwhile, as objects."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, structlog.get_config())
    stream = io.StringIO()
    telemetry.configure_logging("svc-test", "INFO", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before[0], before[1]
    structlog.configure(**before[2])


def test_a_line_is_one_json_object(lines: Lines) -> None:
    structlog.get_logger().info("lease_granted", camera_id="c", epoch=3)
    (line,) = lines()
    assert (line["event"], line["camera_id"], line["epoch"]) == ("lease_granted", "c", 3)
    assert (line["service"], line["level"]) == ("svc-test", "info")
    assert line["timestamp"].endswith("Z")


def test_lines_of_a_request_bear_its_id(lines: Lines) -> None:
    with telemetry.request_scope("abc"):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    inside, outside = lines()
    assert inside["request_id"] == "abc"
    assert "request_id" not in outside


def test_lines_of_other_libraries_are_json_too(lines: Lines) -> None:
    logging.getLogger("asyncio").warning("of %s", "asyncio")
    (line,) = lines()
    assert (line["event"], line["service"]) == ("of asyncio", "svc-test")


def test_an_exception_is_one_line_too(lines: Lines) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines()
    assert "ValueError" in line["exception"]


def test_quieter_levels_are_left_out(lines: Lines) -> None:
    structlog.get_logger().debug("not written")
    assert lines() == []


@pytest.mark.parametrize("given", ["", None, "has space", "x" * 129, "new\nline", "é"])
def test_an_id_that_does_not_belong_in_a_log_is_replaced(given: str | None) -> None:
    made = telemetry.acceptable_request_id(given)
    assert made != given
    assert len(made) == 36


def test_a_callers_own_id_is_kept() -> None:
    assert telemetry.acceptable_request_id("order-4711/a") == "order-4711/a"


def test_the_four_modules_of_the_agent_bring_no_server_with_them() -> None:
    code = (
        "import sys, mesh.clock, mesh.ids, mesh.settings, mesh.telemetry;"
        "print([m for m in ('grpc', 'sqlalchemy', 'asyncpg', 'google.protobuf', 'minio') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
