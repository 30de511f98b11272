"""What a document may hold: one JSON Schema, made from the ops, that editors use and the check stage goes by."""

from __future__ import annotations

import json

from trtdsl.schema.check import check
from trtdsl.schema.document import Catalogue, document_schema
from trtdsl.schema.layers import LayerCheck

__all__ = ["LayerCheck", "check", "document_schema", "schema_text"]


def schema_text(catalogue: Catalogue) -> str:
    """The schema as the published file holds it."""
    return json.dumps(document_schema(catalogue), indent=1, ensure_ascii=False) + "\n"
