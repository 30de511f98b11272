"""What may be a name."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class NameRule:
    """A pattern, as JSON Schema writes it, and the same in words."""

    pattern: str
    words: str

    def allows(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None


LAYER_NAME = NameRule(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", "letters, digits, `_` and `-`, in parts joined by dots")
"""Names of layers and tensors: `layer1.0.conv1`. Slashes and colons are ours."""

OUTPUT_NAME = NameRule(f"{LAYER_NAME.pattern}(:[A-Za-z0-9_-]+)?", LAYER_NAME.words)
"""Names of the network's outputs; one that is given by its tensor alone may have a port."""

IDENTIFIER = NameRule(r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and `_`, no digit first")
"""Names of params, variables, dimensions and modules, which expressions can hold."""

is_name = re.compile(LAYER_NAME.pattern).fullmatch
