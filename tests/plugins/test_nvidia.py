"""Every plugin of TensorRT's own, from YAML up to its creator, with the real registries of 8.6.1 and 10.15."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.plugins.nvidia_table import PAGE, ask, page
from tests.plugins.real import VERSIONS, every_version

COUNTS = {"8.6": 67, "10.15": 85}

asked = cache(ask)


@every_version
def test_every_creator_is_reached(version: str) -> None:
    assert len(asked(version)) == COUNTS[version]
    for creator in asked(version):
        call = creator["checked"].get("call", creator["checked"])
        kind = creator["kind"].lower()
        made = f"network.add_plugin_{kind}([x], {'[], ' if kind == 'v3' else ''}plugin('{creator['name']}', "
        assert made in call, creator
        # The fields stand in the call in the order in which the creator has them.
        places = [call.index(f"('{name}', ") for name, _ in creator["fields"]]
        assert places == sorted(places), call


@every_version
def test_every_mistake_is_refused_before_the_creator_sees_it(version: str) -> None:
    tried: dict[str, int] = {}
    for creator in asked(version):
        for kind, codes in creator["mistakes"]:
            assert codes == ["plugin-field"], (creator["name"], creator["version"], kind)
            tried[kind] = tried.get(kind, 0) + 1
    assert set(tried) == {"name", "type", "range", "length"}
    assert min(tried.values()) > 50


def test_the_page_is_up_to_date() -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    for version in VERSIONS:
        found[version] = asked(version)
    hint = "python -m tests.plugins.nvidia_table"
    assert PAGE.read_text(encoding="utf-8") == page(found), hint


@pytest.mark.parametrize("word", ["made", "wants a GPU", "refuses", "ends the process"])
def test_the_page_explains_its_words(word: str) -> None:
    assert f"*{word}*" in PAGE.read_text(encoding="utf-8")
