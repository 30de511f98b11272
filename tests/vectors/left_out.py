"""Operators that no case of is said in YAML, and what trtdsl refuses where it is asked."""

from __future__ import annotations

from collections.abc import Mapping

from tests.vectors.reasons import Reason

OPERATORS: Mapping[str, tuple[Reason, str]] = {
    "Adagrad": (Reason.TRAINING, ""),
    "Adam": (Reason.TRAINING, ""),
    "Bernoulli": (Reason.RANDOM, ""),
    "BitCast": (Reason.NO_LAYER, "bits taken as another type"),
    "BitwiseAnd": (Reason.NO_LAYER, "bits of integers"),
    "BitwiseOr": (Reason.NO_LAYER, "bits of integers"),
    "BitwiseXor": (Reason.NO_LAYER, "bits of integers"),
    "DeformConv": (Reason.NO_LAYER, "deformable convolution, but by a plugin"),
    "ImageDecoder": (Reason.NO_LAYER, "image files"),
    "LabelEncoder": (Reason.NO_LAYER, "tables of keys and values"),
    "MelWeightMatrix": (Reason.NO_LAYER, "a table that comes from parameters alone"),
    "Momentum": (Reason.TRAINING, ""),
    "OptionalGetElement": (Reason.SEQUENCES, ""),
    "OptionalHasElement": (Reason.SEQUENCES, ""),
    "RandomUniformLike": (Reason.RANDOM, ""),
    "RegexFullMatch": (Reason.STRINGS, ""),
    "SequenceEmpty": (Reason.SEQUENCES, ""),
    "SequenceInsert": (Reason.SEQUENCES, ""),
    "SequenceMap": (Reason.SEQUENCES, ""),
    "SplitToSequence": (Reason.SEQUENCES, ""),
    "StringConcat": (Reason.STRINGS, ""),
    "StringNormalizer": (Reason.STRINGS, ""),
    "StringSplit": (Reason.STRINGS, ""),
    "TfIdfVectorizer": (Reason.NO_LAYER, "counts of n-grams"),
    "TreeEnsemble": (Reason.NO_LAYER, "decision trees"),
    "Unique": (Reason.DATA_DEPENDENT, "TensorRT has no layer whose output has as many elements as differ"),
}

REFUSALS: tuple[tuple[str, Reason, str], ...] = (
    (r"expected a (whole number from 1|list of sizes).*, got 0", Reason.EMPTY, ""),
    ("nothing is left of axis", Reason.EMPTY, ""),
    ("half_pixel_symmetric differs from half_pixel", Reason.NO_LAYER, "half_pixel_symmetric with rounded sizes"),
    (r"grid_sample takes \[batch, channels, height, width\]", Reason.NO_LAYER, "grid_sample of volumes"),
    ("resize has no parameter `antialias`", Reason.NO_LAYER, "resampling with antialias"),
)
"""What trtdsl's own messages say, as a pattern, and what it means here."""
