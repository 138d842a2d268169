"""Staff and their faces, between protobuf and the domain."""

from __future__ import annotations

from uuid import UUID

from footfall.identity.v1 import gallery_pb2, staff_face_pb2, staff_pb2
from footfall.type.v1 import embedding_pb2, face_pb2

from mesh.ids import SiteId
from mesh.wire import timestamp
from svc_identity.matching.servicer import candidate_message, vector_of
from svc_identity.staff.domain import Draft, NewFace, Quality, StaffFace, StaffMember
from svc_identity.staff.gallery import Checkpoint, Entry, Message, Reset
from svc_identity.staff.recognition import Recognition
from svc_identity.vectors.port import Vector


def read_draft(message: staff_pb2.Staff) -> Draft:
    """What people entered; what the server sets is ignored."""
    return Draft(
        display_name=message.display_name,
        external_id=message.external_id,
        site_ids=frozenset(SiteId(UUID(site)) for site in message.site_ids),
        suspended=message.suspended,
    )


def read_source(
    request: staff_face_pb2.AddStaffFaceRequest | staff_face_pb2.TestRecognitionRequest,
) -> bytes | NewFace:
    """The photograph of a request, or its embedding.

    Raises:
        InvalidField: EMBEDDING_INVALID.
    """
    if request.WhichOneof("face") == "image":
        return request.image
    given = request.embedding
    return NewFace(given.space, vector_of(given, "embedding.vector"))


def staff_message(member: StaffMember) -> staff_pb2.Staff:
    """A staff member in the contract's words."""
    return staff_pb2.Staff(
        id=str(member.id),
        display_name=member.entered.display_name,
        external_id=member.entered.external_id,
        site_ids=[str(site) for site in sorted(member.entered.site_ids)],
        suspended=member.entered.suspended,
        face_count=member.face_count,
        primary_face_id=str(member.primary_face_id) if member.primary_face_id else None,
        image_id=str(member.image_id) if member.image_id else None,
        converted_from=str(member.converted_from) if member.converted_from else None,
        effective_time=timestamp(member.effective_time),
        create_time=timestamp(member.create_time),
        update_time=timestamp(member.update_time),
    )


def face_message(face: StaffFace) -> staff_face_pb2.StaffFace:
    """A face in the contract's words."""
    return staff_face_pb2.StaffFace(
        id=str(face.id),
        staff_id=str(face.staff_id),
        space=face.space,
        quality=quality_message(face.quality),
        image_id=str(face.image_id) if face.image_id else None,
        primary=face.primary,
        create_time=timestamp(face.create_time),
    )


def quality_message(quality: Quality | None) -> face_pb2.FaceQuality | None:
    """What was measured; None stays absent."""
    if quality is None:
        return None
    return face_pb2.FaceQuality(
        detection_score=quality.detection_score,
        overall=quality.overall,
        face_pixels=quality.face_pixels,
        yaw_degrees=quality.yaw_degrees,
    )


def recognition_message(found: Recognition, face: NewFace) -> staff_face_pb2.TestRecognitionResponse:
    """What a picture would be taken for."""
    return staff_face_pb2.TestRecognitionResponse(
        recognised=found.recognised,
        similarity=found.similarity,
        threshold=found.threshold,
        candidates=[candidate_message(candidate) for candidate in found.candidates],
        quality=quality_message(face.quality),
    )


def gallery_message(message: Message, space: str) -> gallery_pb2.WatchGalleryResponse:
    """A message to a worker."""
    match message:
        case Reset():
            return gallery_pb2.WatchGalleryResponse(reset=gallery_pb2.GalleryReset())
        case Entry():
            embeddings = [_embedding(vector, space) for vector in message.vectors]
            entry = gallery_pb2.GalleryEntry(staff_id=str(message.staff_id), embeddings=embeddings)
            return gallery_pb2.WatchGalleryResponse(entry=entry)
        case Checkpoint():
            return gallery_pb2.WatchGalleryResponse(
                checkpoint=gallery_pb2.GalleryCheckpoint(
                    revision=message.revision,
                    staff_count=message.staff_count,
                    hint_threshold=message.hint_threshold,
                )
            )


def _embedding(vector: Vector, space: str) -> embedding_pb2.Embedding:
    return embedding_pb2.Embedding(space=space, vector=vector.astype("<f4").tobytes())
