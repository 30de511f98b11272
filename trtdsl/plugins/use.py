"""Which plugin a layer asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PluginUse:
    """Which plugin is asked for.

    Without a version it is the highest that the network takes, without a namespace the one that there is.
    """

    name: str
    version: str | None = None
    namespace: str | None = None

    def __str__(self) -> str:
        version = f" of version {self.version}" if self.version is not None else ""
        namespace = f" in the namespace `{self.namespace}`" if self.namespace else ""
        return f"{self.name}{version}{namespace}"
