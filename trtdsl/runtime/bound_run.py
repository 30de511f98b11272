"""A run with all it needs: where its inputs come from, and where its outputs go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.runtime.feeds import Feed
from trtdsl.runtime.takers import Taker

if TYPE_CHECKING:
    from trtdsl.runtime.context import Context


@dataclass(frozen=True, eq=False)
class BoundRun:
    """A run that can be repeated, on whatever lies in its inputs by then.

    It is good until its context is given something else to run. Feeds and takers keep the user's memory.
    """

    context: Context
    stream: int
    is_waited_for: bool
    on_device: bool
    feeds: list[Feed]
    takers: list[Taker]
    graph: bool

    def enqueue(self) -> None:
        """Put a run on the stream, with the copies of the host's arrays. Raises RunError."""
        self.context.repeat(self)

    def outputs(self) -> dict[str, Any]:
        """The outputs of the last run, as `Context.run` gives them. Raises RunError."""
        return self.context.deliver(self)

    def forget(self) -> None:
        """Let go of all memory: the context was released."""
        self.feeds.clear()
        self.takers.clear()

    def put(self, stream: int) -> None:
        """Put the copies and the engine on a stream, whichever that is."""
        for feed in self.feeds:
            feed.copy(stream)
        self.context.execute(stream)
        for taker in self.takers:
            taker.copy(stream)

    @property
    def places(self) -> tuple[int, ...]:
        """All addresses that it reads and writes, which a graph holds on to."""
        reads = (place for feed in self.feeds for place in feed.places)
        writes = (place for taker in self.takers for place in taker.places)
        return (*reads, *writes)
