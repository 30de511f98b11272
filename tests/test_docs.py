"""What the documentation says holds: its YAML is valid, its tables are complete, its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import trtdsl
from scripts import layering
from trtdsl.build_options import BuildOptions
from trtdsl.cli.export import SUBCOMMANDS
from trtdsl.cli.main import COMMANDS, main
from trtdsl.ops import CATALOGUE
from trtdsl.ops.base import LAYER_KEYS
from trtdsl.schema import document_schema

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\S+\.yaml)\n")


def blocks(text: str, language: str) -> Iterator[tuple[int, str]]:
    """The fenced blocks of a language with the line each starts in."""
    for match in _FENCE.finditer(text):
        if match[1] == language:
            yield text[: match.start()].count("\n") + 1, match[2]


SNIPPETS = {
    f"{page.relative_to(ROOT)}:{line}": text
    for page in PAGES
    if page.name not in ("adding-an-op.md", "plugins.md")  # test_adding_an_op and test_adding_a_plugin follow those
    for line, text in blocks(page.read_text(encoding="utf-8"), "yaml")
}
INCLUDED = {match[1]: text for text in SNIPPETS.values() if (match := _NAMED.match(text))}


def whole(snippet: str) -> str:
    """A snippet with the sections that a network cannot do without."""
    sections = yaml.safe_load(snippet)
    if "trtdsl" not in sections:
        snippet = f"trtdsl: 1\n{snippet}"
    if "inputs" not in sections:
        snippet += "inputs: {x: [N, 8, 32, 32]}\n"
        snippet += "" if "dims" in sections else "dims: {N: [1, 8, 32]}\n"
    return snippet if "layers" in sections else f"{snippet}layers: [relu]\n"


def test_there_is_something_to_check() -> None:
    assert len(SNIPPETS) > 15
    assert "README.md" in {name.partition(":")[0] for name in SNIPPETS}
    assert INCLUDED


@pytest.mark.parametrize("place", SNIPPETS)
def test_every_yaml_block_is_a_valid_network(place: str, tmp_path: Path) -> None:
    for name, text in INCLUDED.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    path = tmp_path / "network.yaml"
    path.write_text(whole(SNIPPETS[place]), encoding="utf-8")
    network = trtdsl.load(path, random_weights=True)
    assert network.typed.layers
    network.options()


def first_cells(text: str, heading: str) -> list[str]:
    """The names in the first column of the first table under a heading; one cell may hold several."""
    section = text.partition(f"{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, heading
    rows = [line.split("|")[1] for line in table[0].splitlines()[2:]]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_language_page_lists_all_sections() -> None:
    assert sorted(first_cells(LANGUAGE, "## Sections")) == sorted(document_schema(CATALOGUE)["properties"])


def test_the_language_page_lists_all_keys_of_layers() -> None:
    assert sorted(["op", *first_cells(LANGUAGE, "## Layers")]) == sorted(LAYER_KEYS)


def test_the_language_page_lists_all_build_options() -> None:
    section = LANGUAGE.partition("## Build\n")[2]
    options = [option for option in fields(BuildOptions) if option.name in BuildOptions.types()]
    for option in options:
        row = f"| `{option.name}` | {option.metadata['type'].describe()} | {option.metadata['help']} |"
        assert row in section.splitlines()
    assert first_cells(LANGUAGE, "## Build") == [option.name for option in options]


def test_the_architecture_page_has_the_rules_that_are_enforced() -> None:
    lines = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    rows = [f"| {layer.name} | {code(layer.modules)} | {layer.reason} |" for layer in layering.LAYERS]
    at = lines.index(rows[0])
    assert lines[at : at + len(rows)] == rows
    for rule in layering.OUTSIDE:
        assert f"| {code(rule.packages)} | {code(rule.modules)} | {rule.reason} |" in lines


def test_the_architecture_page_names_every_module() -> None:
    package = ROOT / "trtdsl"
    there = {
        path.name + "/" * path.is_dir() for path in package.iterdir() if not path.name.startswith(("_", "py.typed"))
    }
    named = first_cells((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), "## The house")
    assert sorted(named) == sorted(there)


def code(names: Iterable[str]) -> str:
    """Names as a cell of a table."""
    return ", ".join(f"`{name}`" for name in names)


def test_the_readme_lists_all_commands() -> None:
    listed = [cell.split()[1:] for cell in first_cells(README, "## Commands")]
    assert sorted(dict.fromkeys(words[0] for words in listed)) == sorted(COMMANDS)
    assert sorted(words[1] for words in listed if words[0] == "export") == sorted(SUBCOMMANDS)


def test_the_readme_says_how_to_run_the_tests_as_ci_does() -> None:
    script = (ROOT / "scripts" / "check").read_text()
    command = re.search(r'^test_command="(.*)"$', script, re.MULTILINE)
    assert command
    assert command[1] in [text.strip() for _, text in blocks(README, "sh")]


def test_the_error_in_the_readme_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [network] = [text for _, text in blocks(README, "yaml")]
    [shown] = [text for _, text in blocks(README, "")]
    wrong = network.replace("kernel_size: 3,", "kernal_size: 3,").replace("op: max_pool", "op: maxpool")
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(wrong, encoding="utf-8")
    result = CliRunner().invoke(main, ["validate", "net.yaml"])
    assert result.stderr == shown


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    (page, target)
    for page in PAGES
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", page.read_text(encoding="utf-8")))
    if "://" not in target
]


@pytest.mark.parametrize(("page", "target"), LINKS, ids=lambda value: getattr(value, "name", value))
def test_links_lead_somewhere(page: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    assert path.exists()
    assert not anchor or anchor in anchors(path)


def test_the_changes_name_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(trtdsl.__version__)}\b", changes, re.MULTILINE)


def test_the_published_schema_is_fresh() -> None:
    published: Any = (ROOT / "schema" / "trtdsl-1.schema.json").read_text(encoding="utf-8")
    assert CliRunner().invoke(main, ["schema"]).output == published
