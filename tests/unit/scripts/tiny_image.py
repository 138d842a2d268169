"""A contract of a few lines that uses what the generators must understand, as an image with its imports."""

from __future__ import annotations

from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2, http_pb2, httpbody_pb2
from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, field_mask_pb2, text_format, timestamp_pb2

SHOP = r"""
name: "footfall/shop/v1/shop.proto"
package: "footfall.shop.v1"
syntax: "proto3"
dependency: ["google/api/annotations.proto", "google/api/httpbody.proto", "buf/validate/validate.proto",
             "google/protobuf/timestamp.proto", "google/protobuf/field_mask.proto", "google/api/field_behavior.proto"]
message_type {
  name: "Shop"
  field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "id"
          options { [buf.validate.field] { string { uuid: true } } } }
  field { name: "visit_count" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL json_name: "visitCount" }
  field { name: "picture" number: 3 type: TYPE_BYTES label: LABEL_OPTIONAL json_name: "picture"
          options { [buf.validate.field] { bytes { len: 6 } } } }
  field { name: "open_time" number: 4 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL
          json_name: "openTime" options { [google.api.field_behavior]: OUTPUT_ONLY } }
  field { name: "kind" number: 5 type: TYPE_ENUM type_name: ".footfall.shop.v1.Kind" label: LABEL_OPTIONAL
          json_name: "kind" options { [buf.validate.field] { enum { defined_only: true not_in: 0 } } } }
  field { name: "tags" number: 6 type: TYPE_STRING label: LABEL_REPEATED json_name: "tags"
          options { [buf.validate.field] { repeated { max_items: 3 unique: true items { string { min_len: 2 } } } } } }
  field { name: "street" number: 7 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "street" oneof_index: 0 }
  field { name: "place" number: 8 type: TYPE_MESSAGE type_name: ".footfall.shop.v1.Place" label: LABEL_OPTIONAL
          json_name: "place" oneof_index: 0 }
  field { name: "branch" number: 9 type: TYPE_MESSAGE type_name: ".footfall.shop.v1.Shop" label: LABEL_OPTIONAL
          json_name: "branch" options { deprecated: true } }
  field { name: "labels" number: 10 type: TYPE_MESSAGE type_name: ".footfall.shop.v1.Shop.LabelsEntry"
          label: LABEL_REPEATED json_name: "labels" }
  nested_type { name: "LabelsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
    field { name: "value" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "value" } }
  oneof_decl { name: "address" }
}
message_type {
  name: "Place"
  field { name: "latitude" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL json_name: "latitude"
          options { [buf.validate.field] { double { gte: -90 lte: 90 } } } }
}
message_type {
  name: "GetShopRequest"
  field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "id"
          options { [buf.validate.field] { string { uuid: true } } } }
  field { name: "page_size" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "pageSize"
          options { [buf.validate.field] { ignore: IGNORE_IF_ZERO_VALUE int32 { gte: 1 lte: 500 } } } }
  field { name: "place" number: 3 type: TYPE_MESSAGE type_name: ".footfall.shop.v1.Place" label: LABEL_OPTIONAL
          json_name: "place" }
  field { name: "kinds" number: 4 type: TYPE_ENUM type_name: ".footfall.shop.v1.Kind" label: LABEL_REPEATED
          json_name: "kinds" }
}
message_type {
  name: "UpdateShopRequest"
  field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "id" }
  field { name: "shop" number: 2 type: TYPE_MESSAGE type_name: ".footfall.shop.v1.Shop" label: LABEL_OPTIONAL
          json_name: "shop" options { [buf.validate.field] { required: true } } }
  field { name: "update_mask" number: 3 type: TYPE_MESSAGE type_name: ".google.protobuf.FieldMask"
          label: LABEL_OPTIONAL json_name: "updateMask" }
}
enum_type { name: "Kind" value { name: "KIND_UNSPECIFIED" number: 0 } value { name: "KIND_BAKERY" number: 1 } }
service {
  name: "ShopService"
  method { name: "GetShop" input_type: ".footfall.shop.v1.GetShopRequest" output_type: ".footfall.shop.v1.Shop"
           options { [google.api.http] { get: "/v1/shops/{id}" additional_bindings { get: "/v1/shops/{id}:again" } } } }
  method { name: "UpdateShop" input_type: ".footfall.shop.v1.UpdateShopRequest" output_type: ".footfall.shop.v1.Shop"
           options { deprecated: true [google.api.http] { patch: "/v1/shops/{id}" body: "*" } } }
  method { name: "OpenShop" input_type: ".footfall.shop.v1.UpdateShopRequest" output_type: ".footfall.shop.v1.Shop"
           options { [google.api.http] { post: "/v1/shops/{id}:open" body: "shop" } } }
  method { name: "WatchShop" input_type: ".footfall.shop.v1.GetShopRequest" output_type: ".footfall.shop.v1.Shop"
           server_streaming: true options { [google.api.http] { get: "/v1/shops:watch" } } }
  method { name: "ShowShop" input_type: ".footfall.shop.v1.GetShopRequest" output_type: ".google.api.HttpBody"
           options { [google.api.http] { get: "/v1/shops/{id}:show" } } }
  method { name: "MatchShop" input_type: ".footfall.shop.v1.GetShopRequest" output_type: ".footfall.shop.v1.Shop" }
}
source_code_info {
  location { path: [4, 0] span: [0, 0, 0] leading_comments: " Where things are sold:\n everything.\n" }
  location { path: [4, 0, 2, 1] span: [0, 0, 0] leading_comments: " People who came in.\n" }
  location { path: [5, 0, 2, 1] span: [0, 0, 0] leading_comments: " Bread.\n" }
  location { path: [6, 0] span: [0, 0, 0] leading_comments: " Shops.\n" }
  location { path: [6, 0, 2, 0] span: [0, 0, 0] leading_comments: " One shop. Never\n a foreign one.\n" }
}
"""

REASONS = r"""
name: "footfall/type/v1/problem.proto"
package: "footfall.type.v1"
syntax: "proto3"
enum_type { name: "ErrorReason" value { name: "ERROR_REASON_UNSPECIFIED" number: 0 }
            value { name: "ERROR_REASON_NOT_FOUND" number: 4 } }
"""

IMPORTS = (
    descriptor_pb2,
    any_pb2,
    duration_pb2,
    timestamp_pb2,
    field_mask_pb2,
    http_pb2,
    annotations_pb2,
    field_behavior_pb2,
    httpbody_pb2,
    validate_pb2,
)


def tiny_image() -> bytes:
    """The image, serialized."""
    image = descriptor_pb2.FileDescriptorSet()
    for module in IMPORTS:
        module.DESCRIPTOR.CopyToProto(image.file.add())
    for text in (REASONS, SHOP):
        text_format.Parse(text, image.file.add())
    return image.SerializeToString()
