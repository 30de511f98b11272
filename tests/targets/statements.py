"""What has to hold of all statements that are written down."""

from __future__ import annotations

import re
from collections.abc import Iterable


def check_variables(statements: Iterable[str]) -> None:
    """Every variable is made once, before it is used."""
    known = {"network", "trt", "weights"}
    for statement in statements:
        target, _, value = statement.partition(" = ")
        bare = re.sub(r"weights\['[^']*', [^]]*\]\]|'[^']*'", "", value or target)
        used = set(re.findall(r"(?<![\w.])[A-Za-z_]\w*(?!\w*=)", bare)) - {"True", "False", "None"}
        assert used <= known, statement
        if value and "." not in target:
            assert target not in known, statement
            known.add(target)
