"""Every code of a diagnostic, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        # Files and YAML.
        "file": "a file is missing or cannot be read or written",
        "encoding": "a file is not UTF-8",
        "limit": "a file, an expression or an expansion is larger than anything sensible",
        "yaml-syntax": "the text is not YAML",
        "yaml-feature": "YAML that has no meaning here: tags, or several documents in one file",
        "yaml-alias": "an alias or a merge key that leads nowhere",
        "document": "the file is empty, or not a mapping",
        "key": "a key of a mapping is not text",
        "duplicate-key": "a mapping has the same key twice",
        # What a document may hold.
        "language-version": "the file is written in another version of the language",
        "unknown-key": "a key that means nothing where it stands",
        "missing-key": "a key that has to be there is not",
        "value": "a value is not of the form its key asks for",
        "unknown-op": "there is no op or module of that name",
        "unknown-parameter": "the op or module has no parameter of that name",
        "missing-parameter": "a parameter without a default is not given",
        "parameter-value": "a parameter has a value that the op does not take",
        "module-name": "a module or its param has a name that is taken or that no expression could hold",
        "duplicate-name": "two layers, tensors, params or modules have the same name",
        "include": "an included file holds more than params and modules",
        "include-cycle": "a file includes itself, perhaps through others",
        "build-option": "the `build` section has an unknown option, or one of the wrong form",
        # Expressions and expansion.
        "expression-syntax": "an expression is not written as the language wants it",
        "expression-value": "an expression cannot be computed from the values it has",
        "unknown-name": "an expression, or a shape, uses a name that stands for nothing there",
        "dimension": "no input tells the size of a dimension that differs from run to run",
        "missing-param": "a param of the network has neither a default nor a value",
        "override": "a param or dimension that is set from outside does not exist, or cannot have that value",
        "unknown-tensor": "no tensor of that name is there to be read",
        "unknown-port": "the layer has no output of that name",
        "unknown-input": "the op or module has no input of that name",
        "several-outputs": "a layer with several outputs is referred to without saying which",
        "inputs": "a layer has too few or too many inputs",
        "impl": "the op does not have the implementation asked for",
        "quantization": "a layer cannot multiply in int8 or fp8 as it was asked to",
        "scale-file": "a file of scales is damaged, of no known format, or made of another network",
        "scale-missing": "a layer is to multiply in int8 or fp8, and what it reads has no scale",
        "scale-unknown": "there are scales of tensors that the network does not have",
        "scale-value": "a scale is no number that a tensor could have",
        "precision-pattern": "a pattern under `precision` matches no layer",
        # Weights.
        "no-weights": "layers need weights, and no file is named",
        "weight-file": "a weights file is missing, damaged or of no known format",
        "weight-missing": "a weights file lacks a key that a layer needs",
        "weight-ambiguous": "two weights files have the same key",
        "weight-value": "what the YAML says of a weight, or what it holds, makes no sense",
        "weight-shape": "a weight has another shape than the layer needs",
        "weight-dtype": "a weight has an element type that the layer cannot take",
        "weight-nonfinite": "a weight holds NaN or infinity",
        "weight-overflow": "a weight's values do not fit the precision",
        # Plugins.
        "plugin-declaration": "a plugin.yaml does not state a plugin as it has to",
        "plugin-library": "a library of plugins is missing or cannot be loaded",
        "plugin-build": "a library of plugins cannot be compiled",
        "plugin-headers": "the headers of TensorRT that plugins are compiled with are missing",
        "plugin-missing": "no plugin of that name, version and namespace is there",
        "plugin-field": "a field of a plugin is unknown, missing or has a value that it does not take",
        # Shapes and types.
        "shape": "the inputs of a layer do not fit the op",
        # Other targets.
        "onnx-form": "ONNX has no way to say a layer",
        "onnx-size": "a model is too large for one file of ONNX",
        # Running networks.
        "package-missing": "a package that only some commands need is not installed",
        "input-value": "an array or image does not fit the input it is for",
        "data": "a folder of data is missing, or holds nothing that fits the network",
        "reference": "ONNX Runtime cannot run a network on a CPU",
        "gpu-missing": "an engine was to run, and there is no GPU",
        "engine-run": "TensorRT or CUDA did not run an engine",
        "engine-use": "an engine is used after its release, or a context by two at once",
        # TensorRT, engines and the command line.
        "runtime-missing": "no TensorRT of the kind asked for can be used here",
        "tensorrt-refused": "TensorRT did not take a layer",
        "tensorrt-type": "TensorRT lacks a type, or gives a tensor another type or shape than expected",
        "tensorrt-build": "TensorRT did not build the engine",
        "tensorrt-warning": "TensorRT warns of something while building",
        "engine-missing": "there is no engine at that path",
        "engine-elsewhere": "an engine was built for another TensorRT, or another kind of GPU, than there is here",
        "engine-differs": "an engine is not what its manifest says",
        "manifest-missing": "an engine has no manifest beside it",
        "manifest-damaged": "a manifest cannot be read",
        "manifest-format": "a later trtdsl wrote a manifest",
        "engine-inspection": "TensorRT does not tell what is in an engine",
        "precision-differs": "an engine computes a layer in another type than was asked for",
        "locked": "a locked build would not come to what its manifest says",
        "tune": "there is nothing to tune, or nothing that measures it",
        "interrupted": "the user stopped a build",
    }
)
