"""What becomes of each published case: a network that gives its numbers, or a reason why there is none."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trtdsl
from tests.vectors import check
from tests.vectors.document import Document
from tests.vectors.importer import Importer
from tests.vectors.left_out import REFUSALS
from tests.vectors.published import Published, published
from tests.vectors.reasons import LeftOut
from tests.vectors.tables import MAPPERS
from trtdsl.errors import NetworkError


@dataclass(frozen=True)
class Outcome:
    """A case with its network, unless it is left out; `refusal` counts the entry of REFUSALS that says so."""

    case: Published
    document: Document | None
    network: trtdsl.Network | None
    left_out: LeftOut | None
    refusal: int | None = None


def examine(case: Published, folder: Path, prefix: str = "") -> Outcome:
    """Map and load a case. Raises NetworkError where trtdsl refuses what no entry of REFUSALS explains."""
    try:
        document = Importer(case, MAPPERS, prefix).run()
    except LeftOut as reason:
        return Outcome(case, None, None, reason)
    try:
        network = check.load(document, folder)
    except NetworkError as error:
        for index, (pattern, reason, detail) in enumerate(REFUSALS):
            if re.search(pattern, str(error)):
                return Outcome(case, document, None, LeftOut(reason, detail), index)
        raise
    return Outcome(case, document, network, document.differs)


def outcomes(folder: Path) -> Iterator[Outcome]:
    """Those of all cases."""
    for case in published().values():
        yield examine(case, folder)


def dynamic(outcome: Outcome, folder: Path) -> tuple[Document, trtdsl.Network] | None:
    """The network with the first axis of its first input dynamic, where it fits other sizes as well.

    Inputs that have the same size there are taken to share it. From 1 where the layers take that.
    """
    document = outcome.document
    if document is None or outcome.left_out is not None or document.has_fixed_sizes:
        return None
    shapes = {name: entry["shape"] for name, entry in document.inputs.items()}
    first = next(iter(shapes.values()))
    if not first or next(iter(shapes)).endswith("unused") or first[0] < 1:
        return None
    size = first[0]
    for lowest in dict.fromkeys((1, size)):
        variant = copy.copy(document)
        dim = f"N{re.sub(r'[^0-9]', '', next(iter(document.outputs.values()))['tensor'].partition('l')[0])}"
        variant.dims = {dim: [lowest, size, 2 * size + 1]}
        variant.inputs = {
            name: entry | {"shape": [dim, *entry["shape"][1:]]}
            if len(entry["shape"]) == len(first) and entry["shape"][0] == size
            else entry
            for name, entry in document.inputs.items()
        }
        try:
            return variant, check.load(variant, folder, "dynamic")
        except NetworkError:
            continue
    return None
