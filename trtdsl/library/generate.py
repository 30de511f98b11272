"""The C++ of plugins out of their plugin.yaml: what kernels include, and what the glue to TensorRT reads."""

from __future__ import annotations

import ast
import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trtdsl.errors import Diagnostic, NetworkError
from trtdsl.library.formulas import FormulaWriter, UnsupportedFormula
from trtdsl.plugins.declaration import NAMESPACE, Formula, PluginDeclaration
from trtdsl.plugins.fields import FieldDeclaration, FieldType, Number
from trtdsl.source import Span
from trtdsl.types import DataType

_C_TYPES = {
    FieldType.FP16: "uint16_t",
    FieldType.FP32: "float",
    FieldType.FP64: "double",
    FieldType.INT8: "int8_t",
    FieldType.INT16: "int16_t",
    FieldType.INT32: "int32_t",
    FieldType.INT64: "int64_t",
    FieldType.BOOL: "int32_t",
    FieldType.CHAR: "char",
    FieldType.DIMS: "int64_t",
}
_ENUMERATORS = {kind: f"FieldType::k{kind.value.capitalize()}" for kind in FieldType}
_DTYPES = {
    DataType.FP32: "kFloat32",
    DataType.FP16: "kFloat16",
    DataType.INT8: "kInt8",
    DataType.INT32: "kInt32",
    DataType.BF16: "kBFloat16",
    DataType.INT64: "kInt64",
}
MAX_TENSORS = 16
"""The most inputs, and the most outputs, of a plugin; as in common/plugin.h."""
_LAYOUTS = {"linear": "kLinear", "hwc8": "kHWC8"}


def generate(declarations: Sequence[PluginDeclaration], folder: Path) -> None:
    """Write the sources of these plugins into a folder: `<plugin>/plugin.h`, `<plugin>.cpp` and `plugins.cpp`.

    Files that would not change are left alone, so that nothing is compiled again for them. Raises NetworkError for
    what has no form in C++, and OSError.
    """
    problems = [problem for declaration in declarations for problem in _problems(declaration)]
    if problems:
        raise NetworkError(problems)
    for declaration in declarations:
        _write(folder / declaration.folder / "plugin.h", header(declaration))
        _write(folder / f"{declaration.folder}.cpp", traits(declaration))
    _write(folder / "plugins.cpp", listing(declarations))


def _problems(declaration: PluginDeclaration) -> Iterator[Diagnostic]:
    """What of a declaration plugins cannot have."""

    def problem(message: str, span: Span = declaration.span) -> Diagnostic:
        return Diagnostic("plugin-declaration", message, span)

    optional = [entry.name for entry in declaration.inputs if entry.optional]
    for what, count in (("inputs", len(declaration.inputs)), ("outputs", len(declaration.outputs))):
        if count > MAX_TENSORS:
            yield problem(f"a plugin has at most {MAX_TENSORS} {what}, and {declaration.name} has {count}")
    for declared in declaration.fields:
        if declared.is_list and _type(declared) in (FieldType.DIMS, FieldType.CHAR):
            yield problem(f"`{declared.name}`: a field of type {declared.type} has no length")
    for output in declaration.outputs:
        if output.dtype in optional:
            yield problem(f"`{output.name}` has the element type of `{output.dtype}`, which may be left out")
        for tree in output.sizes:
            yield from _formula_problem(declaration, output.shape, tree, symbolic=True)
    for requirement in declaration.requires:
        yield from _formula_problem(declaration, requirement.that, requirement.that.tree, symbolic=False)


def _formula_problem(
    declaration: PluginDeclaration, formula: Formula, tree: ast.expr, *, symbolic: bool
) -> Iterator[Diagnostic]:
    writer = FormulaWriter(declaration, symbolic=symbolic)
    try:
        writer.size(tree) if symbolic else writer.condition(tree)
    except UnsupportedFormula as error:
        yield Diagnostic("plugin-declaration", f"{declaration.name}: {error.message}", formula.span)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def header(declaration: PluginDeclaration) -> str:
    """What a kernel includes: the fields as a struct, and what the kernel has to define."""
    return "\n".join(
        [
            f"// Made from {declaration.folder}/plugin.yaml.",
            "#pragma once",
            "",
            "#include <cuda_runtime_api.h>",
            "",
            '#include "common/tensor.h"',
            "",
            f"namespace trtdsl::{declaration.folder} {{",
            "",
            *_enumerations(declaration),
            "struct Params {",
            *(f"  {_member(declared)};" for declared in declaration.fields),
            "};",
            "",
            "// Bytes of scratch memory that a launch needs for tensors of these shapes.",
            "size_t workspace_size(const Params& params, const Tensor* inputs, const Tensor* outputs);",
            "",
            "cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void* workspace,",
            "                   cudaStream_t stream);",
            "",
            f"}}  // namespace trtdsl::{declaration.folder}",
            "",
        ]
    )


def _enumerations(declaration: PluginDeclaration) -> Iterator[str]:
    for declared in declaration.fields:
        if declared.choices:
            name = _camel(declared.name)
            entries = ", ".join(
                f"k{name}{_camel(word)} = {_whole(number)}" for word, number in declared.choices.items()
            )
            yield f"enum {name} : {_C_TYPES[_type(declared)]} {{ {entries} }};"
            yield ""


def _camel(word: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[_\W]+", word))


def _type(declared: FieldDeclaration) -> FieldType:
    assert declared.type is not None, "a plugin.yaml gives every field a type"
    return declared.type


def _is_array(declared: FieldDeclaration) -> bool:
    """Whether the field is an Array, whose length is known when it is used."""
    return _type(declared) in (FieldType.CHAR, FieldType.DIMS) or (declared.is_list and declared.length is None)


def _member(declared: FieldDeclaration) -> str:
    kind = _C_TYPES[_type(declared)]
    if _is_array(declared) or declared.on_device:
        return f"Array<{kind}> {declared.name}"
    return f"{kind} {declared.name}" + (f"[{declared.length}]" if declared.is_list else "")


def traits(declaration: PluginDeclaration) -> str:
    """What the glue reads of a plugin."""
    return "\n".join(_traits(declaration))


def _traits(declaration: PluginDeclaration) -> Iterator[str]:
    folder = declaration.folder
    yield from (
        f"// Made from {folder}/plugin.yaml.",
        f'#include "{folder}/plugin.h"',
        "",
        "#include <cmath>",
        "#include <cstring>",
        "#include <limits>",
        "",
        '#include "common/plugin.h"',
        "",
        f"namespace trtdsl::{folder} {{",
        "namespace {",
        "",
        "[[maybe_unused]] constexpr double kInfinity = std::numeric_limits<double>::infinity();",
        "",
    )
    for declared in declaration.fields:
        yield from _constants(declared)
    if declaration.fields:
        yield "constexpr FieldSpec kFields[] = {"
        yield from (f"    {_spec(declared)}," for declared in declaration.fields)
        yield "};"
        yield ""
    yield from _formats(declaration)
    yield from _fill(declaration)
    yield from _check(declaration)
    yield from _shapes(declaration)
    needed = sum(not entry.optional for entry in declaration.inputs)
    yield from (
        "}  // namespace",
        "",
        "extern const PluginInfo kInfo;",
        "const PluginInfo kInfo = {",
        f"    /*name=*/{_text(declaration.name)},",
        f"    /*space=*/{_text(NAMESPACE)},",
        f"    /*fields=*/{'kFields' if declaration.fields else 'nullptr'},",
        f"    /*field_count=*/{len(declaration.fields)},",
        f"    /*needed_inputs=*/{needed},",
        f"    /*input_count=*/{len(declaration.inputs)},",
        f"    /*output_count=*/{len(declaration.outputs)},",
        "    /*formats=*/&kFormats[0][0],",
        f"    /*format_count=*/{len(declaration.formats)},",
        "    /*output_types=*/kOutputTypes,",
        "    /*params_size=*/sizeof(Params),",
        "    fill,",
        "    check,",
        "    output_shape,",
        "    [](const void* params, const Tensor* inputs, const Tensor* outputs) {",
        "      return workspace_size(*static_cast<const Params*>(params), inputs, outputs);",
        "    },",
        "    [](const void* params, const Tensor* inputs, const Tensor* outputs, void* workspace,",
        "       cudaStream_t stream) {",
        "      return launch(*static_cast<const Params*>(params), inputs, outputs, workspace, stream);",
        "    },",
        "};",
        "",
        f"}}  // namespace trtdsl::{folder}",
        "",
        f"TRTDSL_EXPORT_KERNELS({folder})",
        "",
    )


def _constants(declared: FieldDeclaration) -> Iterator[str]:
    name = _camel(declared.name)
    if declared.choices:
        yield f"constexpr int64_t kChoices{name}[] = {{{', '.join(map(_whole, declared.choices.values()))}}};"
    default = _default(declared)
    if default:
        yield f"constexpr {_C_TYPES[_type(declared)]} kDefault{name}[] = {{{', '.join(default)}}};"


def _default(declared: FieldDeclaration) -> list[str]:
    """The default's elements in C++."""
    elements, kind = declared.default, _type(declared)
    if elements is None:
        return []
    if isinstance(elements, str):
        return [f"static_cast<char>({byte})" for byte in elements.encode()]
    if kind is FieldType.DIMS:
        return [str(size) for entry in elements for size in entry]  # type: ignore[union-attr]
    if kind is FieldType.FP16:
        return [str(int.from_bytes(struct.pack("<e", element), "little")) for element in elements]
    if kind is FieldType.FP32:
        return [f"static_cast<float>({_double(element)})" for element in elements]  # type: ignore[arg-type]
    return [_double(element) if kind.is_float else _whole(element) for element in elements]  # type: ignore[arg-type]


def _double(number: Number) -> str:
    number = float(number)
    if math.isfinite(number):
        return repr(number)
    return "std::numeric_limits<double>::quiet_NaN()" if math.isnan(number) else f"{'-' * (number < 0)}kInfinity"


def _whole(number: Number) -> str:
    # The smallest int64 has no literal.
    return "std::numeric_limits<int64_t>::min()" if number == -(2**63) else str(int(number))


def _spec(declared: FieldDeclaration) -> str:
    name, default = _camel(declared.name), _default(declared)
    low = declared.above if declared.above is not None else declared.minimum
    high = declared.below if declared.below is not None else declared.maximum
    length = "kAnyLength" if _is_array(declared) else str(declared.length if declared.is_list else 1)
    values = (
        _text(declared.name),
        _ENUMERATORS[_type(declared)],
        length,
        _bool(declared.is_required),
        _bool(declared.on_device),
        f"kDefault{name}" if default else "nullptr",
        str(len(default)),
        "-kInfinity" if low is None else _double(low),
        "kInfinity" if high is None else _double(high),
        _bool(declared.above is not None),
        _bool(declared.below is not None),
        f"kChoices{name}" if declared.choices else "nullptr",
        str(len(declared.choices or ())),
    )
    return "{" + ", ".join(values) + "}"


def _formats(declaration: PluginDeclaration) -> Iterator[str]:
    names = [entry.name for entry in declaration.inputs] + [entry.name for entry in declaration.outputs]
    yield f"constexpr TensorFormat kFormats[][{len(names)}] = {{"
    for row in declaration.formats:
        cells = (f"{{DataType::{_DTYPES[row[name].dtype]}, Layout::{_LAYOUTS[row[name].layout]}}}" for name in names)
        yield f"    {{{', '.join(cells)}}},"
    yield "};"
    inputs = [entry.name for entry in declaration.inputs]
    types = (
        f"static_cast<int32_t>(DataType::{_DTYPES[output.dtype]})"
        if isinstance(output.dtype, DataType)
        else str(-1 - inputs.index(output.dtype))
        for output in declaration.outputs
    )
    yield f"constexpr int32_t kOutputTypes[] = {{{', '.join(types)}}};"
    yield ""


def _fill(declaration: PluginDeclaration) -> Iterator[str]:
    yield "void fill(void* memory, [[maybe_unused]] const FieldValues& values,"
    yield "          [[maybe_unused]] const void* const* device) {"
    yield "  [[maybe_unused]] auto& params = *new (memory) Params{};"
    for index, declared in enumerate(declaration.fields):
        kind, name = _C_TYPES[_type(declared)], declared.name
        if _is_array(declared) or declared.on_device:
            source = f"device[{index}]" if declared.on_device else f"values[{index}].data()"
            data = f"values[{index}].empty() ? nullptr : static_cast<const {kind}*>(static_cast<const void*>({source}))"
            yield f"  params.{name} = {{{data},"
            yield f"      static_cast<int32_t>(values[{index}].size() / sizeof({kind}))}};"
        else:
            target = f"params.{name}" if declared.is_list else f"&params.{name}"
            yield f"  std::memcpy({target}, values[{index}].data(), sizeof params.{name});"
    yield "}"
    yield ""


def _check(declaration: PluginDeclaration) -> Iterator[str]:
    writer = FormulaWriter(declaration, symbolic=False)
    yield "const char* check([[maybe_unused]] const void* memory, [[maybe_unused]] const Tensor* inputs) {"
    yield "  [[maybe_unused]] const auto& params = *static_cast<const Params*>(memory);"
    for index, entry in enumerate(declaration.inputs):
        if not entry.optional:
            yield f"  if (inputs[{index}].data == nullptr && inputs[{index}].volume() > 0) {{"
            yield f'    return "{entry.name} is missing";'
            yield "  }"
        if entry.ranks is not None:
            ranks = " && ".join(f"inputs[{index}].rank != {rank}" for rank in entry.ranks)
            there = f"inputs[{index}].data != nullptr && " if entry.optional else ""
            words = " or ".join(map(str, entry.ranks))
            yield f"  if ({there}{ranks}) return {_text(f'{entry.name} has another number of axes than {words}')};"
    for requirement in declaration.requires:
        yield f"  // {' '.join(requirement.that.text.split())}"
        yield f"  if (!{writer.condition(requirement.that.tree)}) {{"
        yield f"    return {_text(requirement.otherwise)};"
        yield "  }"
    yield "  return nullptr;"
    yield "}"
    yield ""


def _shapes(declaration: PluginDeclaration) -> Iterator[str]:
    writer = FormulaWriter(declaration, symbolic=True)
    yield "bool output_shape([[maybe_unused]] const void* memory, [[maybe_unused]] int32_t output,"
    yield "                  [[maybe_unused]] const std::vector<Sizes>& inputs, Sizes& shape) {"
    yield "  [[maybe_unused]] const auto& params = *static_cast<const Params*>(memory);"
    for index, entry in enumerate(declaration.inputs):
        if entry.ranks is not None:
            ranks = " && ".join(f"inputs.at({index}).size() != {rank}" for rank in entry.ranks)
            there = f"inputs.size() > {index} && " if entry.optional else ""
            yield f"  if ({there}{ranks}) return false;"
    for index, output in enumerate(declaration.outputs):
        if output.same_shape_as is not None:
            position = [entry.name for entry in declaration.inputs].index(output.same_shape_as)
            value = f"inputs.at({position})"
        else:
            value = f"Sizes{{{', '.join(map(writer.size, output.sizes))}}}"
        yield f"  if (output == {index}) shape = {value};"
    yield "  return true;"
    yield "}"
    yield ""


def listing(declarations: Iterable[PluginDeclaration]) -> str:
    """The list of all plugins of a library."""
    folders = [declaration.folder for declaration in declarations]
    lines = ["// Made from the plugins of this library.", '#include "common/plugin.h"', ""]
    lines += [f"namespace trtdsl::{folder} {{\nextern const PluginInfo kInfo;\n}}" for folder in folders]
    names = ", ".join(f"&{folder}::kInfo" for folder in folders)
    lines += [
        "",
        "const std::vector<const trtdsl::PluginInfo*>& trtdsl::all_plugins() {",
        f"  static const std::vector<const PluginInfo*> all = {{{names}}};",
        "  return all;",
        "}",
        "",
    ]
    return "\n".join(lines)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
