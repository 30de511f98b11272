"""`python -m trtdsl.schema` prints the schema of all ops, as `trtdsl schema` does."""

from __future__ import annotations

import sys

from trtdsl.ops import CATALOGUE
from trtdsl.schema import schema_text

if __name__ == "__main__":
    sys.stdout.write(schema_text(CATALOGUE))
