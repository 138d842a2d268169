import re
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from footfall.type.v1 import problem_pb2
from google.rpc import error_details_pb2, status_pb2

from mesh import errors
from mesh.errors import REASONS, FieldViolation, InvalidField, InvalidFields, MeshError, from_status, problem, to_status

PROTO = Path(__file__).parents[3] / "proto/footfall/type/v1/problem.proto"
ALL = [value for value in problem_pb2.ErrorReason.values() if value]


def _documented() -> dict[str, str]:
    """The gRPC code that the contract's comment names, by reason."""
    text = re.sub(r"\n\s*// (?=[^A-Z-])", " ", PROTO.read_text())
    pairs = re.findall(r"// ([A-Z_]+),[^\n]*\n(?:\s*//[^\n]*\n)*\s*(ERROR_REASON_\w+) =", text)
    return {reason: code for code, reason in pairs}


def test_every_reason_has_its_grpc_code_as_the_contract_documents_it() -> None:
    assert set(REASONS) == set(ALL)
    documented = _documented()
    assert {problem_pb2.ErrorReason.Name(r): code.name for r, code in REASONS.items()} == documented


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidField("a.b", "is wrong"), "INVALID_ARGUMENT", "INVALID_FIELD"),
        (InvalidFields([FieldViolation("a", "x")]), "INVALID_ARGUMENT", "INVALID_FIELD"),
        (errors.NotFound("camera", uuid4()), "NOT_FOUND", "NOT_FOUND"),
        (errors.AlreadyExists("email"), "ALREADY_EXISTS", "ALREADY_EXISTS"),
        (errors.Conflict("x"), "ABORTED", "CONFLICT"),
        (errors.FailedPrecondition("x"), "FAILED_PRECONDITION", "STATE_NOT_ALLOWED"),
        (errors.PermissionDenied("x"), "PERMISSION_DENIED", "ROLE_NOT_ALLOWED"),
        (errors.Unauthenticated("x"), "UNAUTHENTICATED", "TOKEN_INVALID"),
        (errors.ResourceExhausted("x"), "RESOURCE_EXHAUSTED", "RATE_LIMITED"),
        (errors.Unavailable("x"), "UNAVAILABLE", "DEPENDENCY_UNAVAILABLE"),
        (errors.DeadlineTooShort("x"), "DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT"),
        (errors.NotBuiltYet("a.B/C"), "UNIMPLEMENTED", "NOT_BUILT_YET"),
        (errors.Internal(), "INTERNAL", "INTERNAL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MeshError) else "",
)
def test_each_refusal_has_its_code_and_reason(error: MeshError, code: str, reason: str) -> None:
    assert (error.code.name, error.reason_name) == (code, reason)


def test_an_error_crosses_the_wire_whole() -> None:
    sent = MeshError(
        problem_pb2.ERROR_REASON_RATE_LIMITED,
        "too fast",
        violations=[FieldViolation("events[3].embedding.vector", "must be 2048 bytes")],
        metadata={"limit": "5"},
        retry_after=timedelta(seconds=1.5),
    )
    received = from_status(to_status(sent))
    assert received is not None
    assert vars(received) == vars(sent)
    assert str(received) == "too fast"


def test_a_status_of_another_domain_is_not_taken_for_ours() -> None:
    status = to_status(errors.Conflict("x"))
    info = error_details_pb2.ErrorInfo(reason="CONFLICT", domain="example.com")
    status.details[0].Pack(info)
    assert from_status(status) is None
    assert from_status(status_pb2.Status(code=2)) is None


def test_a_reason_of_a_newer_peer_is_not_guessed() -> None:
    status = to_status(errors.Conflict("x"))
    status.details[0].Pack(error_details_pb2.ErrorInfo(reason="OF_NEXT_YEAR", domain="footfall"))
    assert from_status(status) is None


def test_the_same_error_is_a_problem_in_a_batch() -> None:
    made = problem(InvalidField("embedding.vector", "must be 2048 bytes"))
    assert made.reason == problem_pb2.ERROR_REASON_INVALID_FIELD
    assert [(v.field, v.description) for v in made.violations] == [("embedding.vector", "must be 2048 bytes")]


def test_codes_are_grpc_codes() -> None:
    assert all(isinstance(code, grpc.StatusCode) for code in REASONS.values())
