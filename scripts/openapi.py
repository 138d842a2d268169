"""OpenAPI 3.1 of the JSON API: ``python -m scripts.openapi IMAGE OUT.json``.

One operation per ``google.api.http`` binding, as Envoy's transcoder serves it. In addresses (path and query) names are
written as in the contracts; in bodies they are ProtoJSON's lowerCamelCase.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from gateway.contract import PUBLIC_RPCS
from scripts.json_constraints import Json
from scripts.json_mapping import WELL_KNOWN, Schemas
from scripts.proto_image import Binding, Image

HTTP_BODY = "google.api.HttpBody"
COMPONENTS = "#/components/schemas/"
MAX_QUERY_DEPTH = 4
VARIABLE = re.compile(r"\{([a-z0-9_.]+)(?:=[^}]*)?\}")

INFO: Json = {
    "title": "Footfall",
    "version": "1",
    "summary": "Visitor analytics from the cameras a shop already has.",
    "description": (
        "The JSON face of the gRPC contracts in `proto/footfall`; the gateway transcodes. Bodies are ProtoJSON: names"
        " in lowerCamelCase, int64 as strings, bytes as base64, enums by their full names, unset optional fields left"
        " out. Path and query parameters are written as in the contracts (`page_size`); lists repeat the parameter"
        " (`?site_ids=a&site_ids=b`); an unknown query parameter is refused. Streams answer with one JSON message a"
        " line, or with server-sent events when asked by `Accept: text/event-stream`."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}


class Document:
    """An OpenAPI document in the making."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._schemas = Schemas(image, COMPONENTS)
        self._paths: dict[str, Json] = {}
        self._shapes: dict[str, str] = {}

    def build(self) -> Json:
        """The whole document."""
        tags: list[Json] = []
        for service in self._image.services():
            operations = [(method, binding) for method in service.methods for binding in self._image.bindings(method)]
            for index, (method, binding) in enumerate(operations):
                is_first = index == 0 or operations[index - 1][0] is not method
                self._add(service, method, binding, suffix="" if is_first else f"_{index}")
            if operations:
                tags.append({"name": service.name, "description": self._image.comment(service)})
        return {
            "openapi": "3.1.0",
            "info": INFO,
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}],
            "tags": tags,
            "paths": {path: self._paths[path] for path in sorted(self._paths)},
            "components": {
                "schemas": {**self._schemas.definitions, **self._error_schemas()},
                "responses": {
                    "Error": {
                        "description": "Refused or failed. `details` holds an ErrorInfo whose `reason` programs decide"
                        " by, and a BadRequest when fields are at fault.",
                        "content": {"application/json": {"schema": {"$ref": f"{COMPONENTS}google.rpc.Status"}}},
                    }
                },
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }

    def _add(self, service: ServiceDescriptor, method: MethodDescriptor, binding: Binding, suffix: str) -> None:
        variables = VARIABLE.findall(binding.path)
        path = VARIABLE.sub(lambda match: f"{{{match.group(1)}}}", binding.path)
        # Templates that differ only in their variables' names are one path to OpenAPI: the first spelling stands.
        path_shown = self._shapes.setdefault(VARIABLE.sub("{}", path), path)
        shown = VARIABLE.findall(path_shown)
        operation: Json = {"tags": [service.name], "operationId": f"{service.name}_{method.name}{suffix}"}
        comment = self._image.comment(method)
        if comment:
            operation["summary"] = re.split(r"(?<=[.!?])\s", comment, maxsplit=1)[0].rstrip(".")
            operation["description"] = comment
        if method.GetOptions().deprecated or service.GetOptions().deprecated:
            operation["deprecated"] = True
        if method.full_name in PUBLIC_RPCS:
            operation["security"] = []
        parameters = [
            self._parameter(self._field_at(method.input_type, name), label, "path")
            for name, label in zip(variables, shown, strict=True)
        ]
        if binding.body != "*":
            bound = frozenset({*variables, binding.body})
            parameters.extend(self._query(method.input_type, bound))
        if parameters:
            operation["parameters"] = parameters
        if binding.body:
            operation["requestBody"] = self._request_body(method.input_type, binding.body, variables)
        operation["responses"] = self._responses(method)
        operations = self._paths.setdefault(path_shown, {})
        if binding.verb.lower() in operations:
            raise ValueError(f"{binding.verb} {path_shown} is bound twice; the second time by {method.full_name}")
        operations[binding.verb.lower()] = operation

    def _field_at(self, message: Descriptor, path: str) -> FieldDescriptor:
        """The field that a dotted path leads to."""
        head, _, rest = path.partition(".")
        field = message.fields_by_name[head]
        return self._field_at(field.message_type, rest) if rest and field.message_type else field

    def _parameter(self, field: FieldDescriptor, name: str, place: str) -> Json:
        schema = self._schemas.field(field)
        parameter: Json = {"name": name, "in": place}
        if description := schema.pop("description", None):
            parameter["description"] = description
        if place == "path" or self._schemas.is_required(field):
            parameter["required"] = True
        if schema.pop("deprecated", False):
            parameter["deprecated"] = True
        if field.is_repeated:
            parameter.update(style="form", explode=True)
        parameter["schema"] = schema
        return parameter

    def _query(self, message: Descriptor, bound: frozenset[str], prefix: str = "", depth: int = 0) -> Iterator[Json]:
        """What no path variable and no body binds, flattened as the transcoder does: ``series.grain``."""
        for field in message.fields:
            name = f"{prefix}{field.name}"
            if name in bound or (field.message_type is not None and field.message_type.GetOptions().map_entry):
                continue
            if field.message_type is None or field.message_type.full_name in WELL_KNOWN:
                yield self._parameter(field, name, "query")
            elif not field.is_repeated and depth < MAX_QUERY_DEPTH:
                yield from self._query(field.message_type, bound, f"{name}.", depth + 1)

    def _request_body(self, message: Descriptor, body: str, variables: list[str]) -> Json:
        if body != "*":
            field = message.fields_by_name[body]
            schema = self._schemas.field(field)
            # `/v1/users/{user.id}` with body "user": what the path says must not be said again.
            inner = frozenset(name.removeprefix(f"{body}.") for name in variables if name.startswith(f"{body}."))
            if inner and field.message_type is not None:
                schema = self._schemas.message(field.message_type, without=inner)
            required = self._schemas.is_required(field)
        elif variables:
            schema = self._schemas.message(message, without=frozenset(variables))
            required = bool(schema.get("required"))
        else:
            schema = self._schemas.reference(message)
            required = bool(message.fields)
        if schema.get("type") == "object":
            # Its comment is the operation's business; the schema's title stays.
            schema.pop("description", None)
        return {"content": {"application/json": {"schema": schema}}, "required": required}

    def _responses(self, method: MethodDescriptor) -> Json:
        output = method.output_type
        comment = self._image.comment(output) if output.full_name != HTTP_BODY else ""
        if output.full_name == HTTP_BODY:
            content: Json = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
            comment = "The content as it is; its type is told by `Content-Type`."
        elif method.server_streaming:
            schema = self._schemas.reference(output)
            content = {"application/json": {"schema": schema}, "text/event-stream": {"schema": schema}}
            comment = f"One message a line, or one per event. {comment}"
        else:
            content = {"application/json": {"schema": self._schemas.reference(output)}}
        return {
            "200": {"description": comment.strip() or "Done.", "content": content},
            "default": {"$ref": "#/components/responses/Error"},
        }

    def _error_schemas(self) -> dict[str, Json]:
        """google.rpc.Status as it is printed, with the reasons that the contracts list."""
        reasons = self._image.enum("footfall.type.v1.ErrorReason")
        names = [value.name.removeprefix("ERROR_REASON_") for value in reasons.values if value.number]
        lines = [
            f"- `{value.name.removeprefix('ERROR_REASON_')}`: {self._image.value_comment(reasons, value.name)}"
            for value in reasons.values
            if value.number
        ]
        info: Json = {
            "type": "object",
            "title": "ErrorInfo",
            "properties": {
                "@type": {"const": "type.googleapis.com/google.rpc.ErrorInfo"},
                "reason": {"type": "string", "enum": names, "description": "\n".join(lines)},
                "domain": {"type": "string", "const": "footfall"},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["@type", "reason", "domain"],
        }
        violation: Json = {
            "type": "object",
            "properties": {
                "field": {"type": "string", "description": "Path from the request's root, e.g. `event.embedding`."},
                "description": {"type": "string"},
            },
        }
        bad_request: Json = {
            "type": "object",
            "title": "BadRequest",
            "properties": {
                "@type": {"const": "type.googleapis.com/google.rpc.BadRequest"},
                "fieldViolations": {"type": "array", "items": violation},
            },
            "required": ["@type"],
        }
        details: Json = {
            "anyOf": [
                {"$ref": f"{COMPONENTS}google.rpc.ErrorInfo"},
                {"$ref": f"{COMPONENTS}google.rpc.BadRequest"},
                {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
            ]
        }
        status: Json = {
            "type": "object",
            "title": "Status",
            "properties": {
                "code": {"type": "integer", "format": "int32", "description": "google.rpc.Code."},
                "message": {"type": "string", "description": "For people, never parsed."},
                "details": {"type": "array", "items": details},
            },
            "required": ["code"],
        }
        return {"google.rpc.BadRequest": bad_request, "google.rpc.ErrorInfo": info, "google.rpc.Status": status}


def openapi(image: Image) -> Json:
    """The OpenAPI document of an image's routes."""
    return Document(image).build()


def main(arguments: list[str]) -> int:
    """Write the document."""
    image_path, out = map(Path, arguments)
    text = json.dumps(openapi(Image.read(image_path)), indent=2, ensure_ascii=False)
    out.write_text(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
