"""One face for both registries' APIs, with stand-ins for TensorRT 8.6's and 10's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trtdsl.plugins.fields import Field, FieldType
from trtdsl.plugins.registry import CreatorRefused, PluginError, Registry
from trtdsl.plugins.use import PluginUse


class Member:
    """A member of an enumeration."""

    def __init__(self, name: str) -> None:
        self.name = name


class PluginField:
    """A field; one that a creator declares has no array."""

    def __init__(self, name: str, array: Any, type: Member) -> None:
        self.name, self.array, self.type = name, array, type
        self.size = array.size if array is not None else 1

    @property
    def data(self) -> None:
        raise AssertionError("left-over memory")


class Creator:
    """A creator that keeps what it is given."""

    def __init__(self, name: str, version: str, namespace: str = "", makes: object = "a plugin") -> None:
        self.name, self.plugin_version, self.plugin_namespace, self.makes = name, version, namespace, makes
        self.given: list[PluginField] = []
        self.phases: tuple[Any, ...] = ()
        self.field_names: Any = None

    def create_plugin(self, label: str, fields: list[PluginField], *phases: Any) -> object:
        self.given, self.phases = fields, phases
        return self.makes


class CreatorV3(Creator):
    """As IPluginCreatorV3One."""


class CreatorQuick(Creator):
    """As IPluginCreatorV3Quick."""


class ILogger:
    ERROR, INTERNAL_ERROR = "error", "internal error"


def module(*creators: Creator, new: bool = True) -> Any:
    """TensorRT's module: 10's, or 8.6's, which has no creators of the third version and no int64."""
    types = ["FLOAT16", "FLOAT32", "FLOAT64", "INT8", "INT16", "INT32", "CHAR", "DIMS", "UNKNOWN"]
    types += ["INT64"] if new else []
    registry = type("Registry", (), {"all_creators" if new else "plugin_creator_list": list(creators)})()
    members: dict[str, Any] = {
        "PluginField": PluginField,
        "PluginFieldCollection": staticmethod(list),
        "PluginFieldType": type("PluginFieldType", (), {name: Member(name) for name in types}),
        "DataType": type("DataType", (), {"INT64": 1} if new else {}),
        "ILogger": ILogger,
        "get_plugin_registry": staticmethod(lambda: registry),
    }
    if new:
        members |= {"IPluginCreatorV3One": CreatorV3, "IPluginCreatorV3Quick": CreatorQuick}
        members["TensorRTPhase"] = type("TensorRTPhase", (), {"BUILD": "build"})
    return type("Module", (), members)()


ROI = (Creator("Roi", "1"), CreatorV3("Roi", "2"), CreatorV3("Roi", "10"), Creator("Roi", "beta"))


@pytest.mark.parametrize(
    ("use", "takes", "found"),
    [
        (PluginUse("Roi"), {}, ("10", "V3")),
        (PluginUse("Roi", "2"), {}, ("2", "V3")),
        (PluginUse("Roi"), {"takes_v3": False}, ("1", "V2")),
        (PluginUse("Roi", "beta"), {}, ("beta", "V2")),
    ],
    ids=str,
)
def test_the_creator_that_is_found(use: PluginUse, takes: dict[str, bool], found: tuple[str, str]) -> None:
    creator = Registry(module(*ROI), "TensorRT 10").find(use, **takes)
    assert (creator.version, creator.kind) == found


REFUSED = [
    (PluginUse("Roy"), {}, "no plugin `Roy` is among the 4 that are registered", "plugin", "did you mean `Roi`?"),
    (PluginUse("Other"), {}, "no library is loaded", "plugin", "name its library"),
    (PluginUse("Roi", "3"), {}, "T has no Roi of version 3", "version", "versions of Roi are beta, 1, 2, 10"),
    (PluginUse("Roi", "2"), {"takes_v3": False}, "T takes no V3 plugins", "version", "versions of Roi are beta"),
    (PluginUse("Roi", None, "mine"), {}, 'T has no Roi in the namespace "mine"', "namespace", 'its namespaces are ""'),
]


@pytest.mark.parametrize(("use", "takes", "message", "at", "hint"), REFUSED, ids=[str(use) for use, *_ in REFUSED])
def test_what_is_not_there(use: PluginUse, takes: dict[str, bool], message: str, at: str, hint: str) -> None:
    with pytest.raises(PluginError) as caught:
        Registry(module(*ROI), "T").find(use, **takes)
    assert message in caught.value.message
    assert caught.value.at == at
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


def test_namespaces() -> None:
    registry = Registry(module(Creator("A", "1", "x"), Creator("B", "1", "x"), Creator("B", "2", "y")), "T")
    assert registry.find(PluginUse("A")).namespace == "x"
    assert registry.find(PluginUse("B", None, "x")).version == "1"
    with pytest.raises(PluginError, match="B is in the namespaces x, y"):
        registry.find(PluginUse("B"))
    both = Registry(module(Creator("A", "2", "x"), Creator("A", "1", "")), "T")
    assert both.find(PluginUse("A")).version == "1"


def test_the_registry_of_8_6_has_another_name_for_its_list() -> None:
    registry = Registry(module(Creator("Roi", "1"), new=False), "T")
    assert [str(creator) for creator in registry.creators()] == ["Roi 1"]
    assert str(Registry(module(Creator("Roi", "1", "mine")), "T").creators()[0]) == "mine::Roi 1"


def test_creators_for_another_way_of_building_are_left_out() -> None:
    assert len(Registry(module(*ROI, CreatorQuick("Roi", "4")), "T").creators()) == 4


def test_what_creators_declare() -> None:
    creator = Creator("Declares", "1")
    trt = module(creator)
    types = trt.PluginFieldType
    declared = [("one", types.INT32, 1), ("none", types.FLOAT32, 0), ("four", types.INT8, 4), ("any", types.UNKNOWN, 1)]
    creator.field_names = [PluginField(name, None, kind) for name, kind, _ in declared]
    for field, (_, _, size) in zip(creator.field_names, declared, strict=True):
        field.size = size
    # Listed twice, as one of TensorRT's own does when it is asked twice.
    creator.field_names += creator.field_names[:1]
    [found] = Registry(trt, "T").creators()
    assert [(one.name, one.type, one.length, one.is_required) for one in found.fields()] == [
        ("one", FieldType.INT32, None, False),
        ("none", FieldType.FP32, None, False),
        ("four", FieldType.INT8, 4, False),
        ("any", None, None, False),
    ]
    creator.field_names = []
    [again] = Registry(trt, "T").creators()
    assert len(again.fields()) == 4
    assert Registry(module(Creator("Silent", "1")), "T").creators()[0].fields() == ()


FIELDS = (
    Field("half", FieldType.FP16, (0.5,)),
    Field("flag", FieldType.BOOL, (1,)),
    Field("text", FieldType.CHAR, "äb"),
    Field("nothing", FieldType.FP32, ()),
    Field("dims", FieldType.DIMS, ((3, 4), (5,))),
)


@pytest.mark.parametrize("new", [True, False], ids=["10", "8.6"])
def test_the_fields_that_a_creator_gets(new: bool) -> None:
    handle = Creator("P", "1")
    trt = module(handle, new=new)
    [creator] = Registry(trt, "T").creators()
    assert creator.create("label", FIELDS) == "a plugin"
    assert handle.phases == ()
    assert [(field.name, field.type.name, field.size) for field in handle.given] == [
        ("half", "FLOAT16", 1),
        ("flag", "INT32", 1),
        ("text", "CHAR", 3),
        ("nothing", "FLOAT32", 0),
        ("dims", "DIMS", 2),
    ]
    arrays = [field.array for field in handle.given]
    assert arrays[0].dtype == np.float16
    assert arrays[1].dtype == np.int32
    assert bytes(arrays[2]) == "äb".encode() + b"\0"
    size = 72 if new else 36
    assert len(bytes(arrays[4])) == 2 * size
    assert bytes(arrays[4])[size : size + 4] == (1).to_bytes(4, "little")


def test_creators_of_the_third_version_are_told_the_phase() -> None:
    handle = CreatorV3("P", "1")
    Registry(module(handle), "T").creators()[0].create("label", ())
    assert handle.phases == ("build",)


def test_a_creator_that_makes_nothing() -> None:
    [creator] = Registry(module(Creator("P", "1", makes=None)), "T").creators()
    with pytest.raises(CreatorRefused, match=r"the creator of P 1 gave no plugin for the fields half: fp16\[1\], flag"):
        creator.create("label", FIELDS)


def test_a_type_that_this_tensorrt_lacks() -> None:
    [creator] = Registry(module(Creator("P", "1"), new=False), "T").creators()
    with pytest.raises(PluginError, match="`large`: fields of this TensorRT are never int64"):
        creator.create("label", (Field("large", FieldType.INT64, (1,)),))
