"""JSON Schemas of the messages that integrators store: ``python -m scripts.json_schemas IMAGE OUTDIR``.

One self-contained file per message, with all it refers to under ``$defs``. They describe what json_format prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.json_constraints import Json
from scripts.json_mapping import Schemas
from scripts.proto_image import Image

PUBLISHED = ("FaceDetected", "VisitRecord", "CustomerProfile")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(image: Image, name: str) -> Json:
    """The schema of the one message called ``name``; LookupError when there is none, or several."""
    found = [message for message in image.messages() if message.name == name]
    if len(found) != 1:
        raise LookupError(f"the image holds {len(found)} messages called {name}, not one")
    schemas = Schemas(image, "#/$defs/")
    body = schemas.message(found[0])
    document: Json = {"$schema": DIALECT, "$id": f"urn:footfall:{found[0].full_name}", **body}
    if definitions := schemas.definitions:
        document["$defs"] = definitions
    return document


def main(arguments: list[str]) -> int:
    """Write the published schemas."""
    image_path, folder = map(Path, arguments)
    image = Image.read(image_path)
    folder.mkdir(parents=True, exist_ok=True)
    for name in PUBLISHED:
        text = json.dumps(json_schema(image, name), indent=2, ensure_ascii=False)
        (folder / f"{name}.schema.json").write_text(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
