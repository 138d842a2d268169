"""A buf image (a FileDescriptorSet with imports and source info), opened for reading: descriptors, options, comments.

The image brings its own extensions (``google.api.http``, ``buf.validate.field``, …), so options are parsed with message
classes built from the image itself. Nothing of ``gen/`` is imported: this runs before ``gen/`` exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    OneofDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pool import DescriptorPool

HTTP = "google.api.http"
FIELD_BEHAVIOR = "google.api.field_behavior"
FIELD_RULES = "buf.validate.field"
ONEOF_RULES = "buf.validate.oneof"
MESSAGE_RULES = "buf.validate.message"

Described: TypeAlias = (
    Descriptor | EnumDescriptor | FieldDescriptor | MethodDescriptor | OneofDescriptor | ServiceDescriptor
)


@dataclass(frozen=True)
class Binding:
    """One HTTP route of an RPC, out of its ``google.api.http`` option."""

    verb: str
    """Upper case: GET, POST, …"""
    path: str
    """As written: ``/v1/cameras/{id}:preview``."""
    body: str
    """``""``, ``"*"``, or the name of the request's field that is the body."""


class Image:
    """An image by name. ``package`` selects whose services :meth:`services` yields (and what counts as ours)."""

    def __init__(self, content: bytes, package: str = "footfall") -> None:
        self._package = package
        self._pool = DescriptorPool()
        self._files = descriptor_pb2.FileDescriptorSet.FromString(content).file
        for file in self._files:
            self._pool.Add(file)
        self._comments: dict[str, str] = {}
        for file in self._files:
            self._comments.update(_comments_of(file))

    @classmethod
    def read(cls, path: Path, package: str = "footfall") -> Image:
        """Open an image file."""
        return cls(path.read_bytes(), package)

    def message(self, full_name: str) -> Descriptor:
        """The message of that full name; KeyError when the image lacks it."""
        return self._pool.FindMessageTypeByName(full_name)

    def enum(self, full_name: str) -> EnumDescriptor:
        """The enum of that full name; KeyError when the image lacks it."""
        return self._pool.FindEnumTypeByName(full_name)

    def messages(self) -> Iterator[Descriptor]:
        """Our messages, nested ones included, map entries not; in the order of the files' names and their lines."""

        def below(message: Descriptor) -> Iterator[Descriptor]:
            if message.GetOptions().map_entry:
                return
            yield message
            for nested in message.nested_types:
                yield from below(nested)

        for file in self._ours():
            for top in file.message_type:
                yield from below(self.message(f"{file.package}.{top.name}"))

    def services(self) -> Iterator[ServiceDescriptor]:
        """Our services, in the order of the files' names and their lines."""
        for file in self._ours():
            for service in file.service:
                yield self._pool.FindServiceByName(f"{file.package}.{service.name}")

    def comment(self, described: Described) -> str:
        """The leading comment, or ``""``; a paragraph's lines are joined, paragraphs stay apart."""
        return self._comments.get(described.full_name, "")

    def value_comment(self, enum: EnumDescriptor, value: str) -> str:
        """The comment of one value of an enum, or ``""``."""
        return self._comments.get(f"{enum.full_name}.{value}", "")

    def extension(self, described: Described, name: str) -> Any | None:
        """The value of the option ``name`` on ``described``, or None when it is unset or the image does not know it."""
        options = described.GetOptions()
        serialized = options.SerializeToString()
        if not serialized:
            return None
        try:
            extension: Any = self._pool.FindExtensionByName(name)
            options_type = self._pool.FindMessageTypeByName(options.DESCRIPTOR.full_name)
        except KeyError:
            return None
        parsed: Any = message_factory.GetMessageClass(options_type).FromString(serialized)
        if extension.is_repeated:
            return list(parsed.Extensions[extension])
        return parsed.Extensions[extension] if parsed.HasExtension(extension) else None

    def bindings(self, method: MethodDescriptor) -> list[Binding]:
        """The RPC's HTTP routes: the main one first, then its additional bindings; empty without any."""
        rule = self.extension(method, HTTP)
        return [] if rule is None else [_binding(one) for one in (rule, *rule.additional_bindings)]

    def _ours(self) -> list[descriptor_pb2.FileDescriptorProto]:
        prefix = f"{self._package}."
        return sorted((file for file in self._files if file.package.startswith(prefix)), key=lambda file: file.name)


def _binding(rule: Any) -> Binding:
    kind = rule.WhichOneof("pattern")
    if kind == "custom":
        return Binding(rule.custom.kind, rule.custom.path, rule.body)
    return Binding(kind.upper(), getattr(rule, kind), rule.body)


def is_synthetic(oneof: OneofDescriptor) -> bool:
    """Whether the compiler made this oneof to remember that one ``optional`` field is set."""
    return len(oneof.fields) == 1 and oneof.name == f"_{oneof.fields[0].name}"


def _comments_of(file: descriptor_pb2.FileDescriptorProto) -> dict[str, str]:
    """Full name → comment. A location's path is alternately a field number of descriptor.proto and an index."""
    comments: dict[str, str] = {}
    for location in file.source_code_info.location:
        if not location.leading_comments:
            continue
        node: Any = file
        names = [file.package]
        for number, index in zip(location.path[::2], location.path[1::2], strict=False):
            field = node.DESCRIPTOR.fields_by_number[number]
            if not field.is_repeated or field.message_type is None:
                break
            node = getattr(node, field.name)[index]
            names.append(getattr(node, "name", ""))
        else:
            if len(location.path) % 2 == 0 and location.path:
                comments[".".join(names)] = _joined(location.leading_comments)
    return comments


def _joined(comment: str) -> str:
    """Undo the comment's line breaks, but keep paragraphs and lists."""
    paragraphs = [" ".join(line.strip() for line in part.splitlines()) for part in comment.strip().split("\n\n")]
    return "\n\n".join(part.strip() for part in paragraphs if part.strip())
