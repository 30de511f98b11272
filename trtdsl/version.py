"""The version, stated here and nowhere else."""

__version__ = "0.1.0"

LANGUAGE_VERSION = 1
"""The version of the language, as files state it under `trtdsl`."""
