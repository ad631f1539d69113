"""What one run may be told beside its partitions: the form that the launchpad shows for every stream."""

import dagster as dg
from pydantic import Field

from connector_resources.errors import ConfigurationError


class StreamConfig(dg.Config):
    """How one run reads and lands a stream. Without any, it reads the API and lands what is whole.

    On the command line: `--config-json '{"ops": {"aha__features": {"config": {"replay": true}}}}'`, the asset's key
    with two underscores for its slash.
    """

    dry_run: bool = Field(
        default=False,
        description="Say what a run would read, how many requests that is expected to take, for how long, and what it "
        "would replace. No request is made and nothing is written.",
    )
    limit: int = Field(
        default=0,
        ge=0,
        description="Read this many records at most, show them, and land nothing: a look at what the API sends. A part "
        "of a partition is never landed. 0 reads everything.",
    )
    full_refresh: bool = Field(
        default=False,
        description="Read everything from the first page, even where an interrupted run left pages on disk that this "
        "one could go on from.",
    )
    lookback_days: int = Field(
        default=0,
        ge=0,
        description="Read and replace this many days before the first one of the run, too: for vendors whose records "
        "come late. Only for streams in daily partitions.",
    )
    replay: bool = Field(
        default=False,
        description="Land again what was read before, from disk: no request is made. For after a correction of the "
        "stream's declaration. Fails where nothing is on disk for the partitions, or where they were landed since.",
    )
    confirm_shrink: bool = Field(
        default=False,
        description="Land a snapshot even where it has far fewer rows than the one before, or none, and days that lose "
        "all their children because parents answer 404. Such a run is refused otherwise, for an API that answers with "
        "less than it holds looks just the same.",
    )
    ignore_budget: bool = Field(
        default=False,
        description="Read even where more requests are expected, or needed, than DAILY_REQUEST_BUDGET has left today "
        "(UTC).",
    )

    def require_consistent(self) -> None:
        """Raise ConfigurationError for settings of which one makes the other void."""
        if self.dry_run and self.limit:
            raise ConfigurationError("dry_run makes no request and limit makes some: set one of them.")
        if self.replay:
            for name in ("dry_run", "limit", "full_refresh", "lookback_days"):
                if getattr(self, name):
                    raise ConfigurationError(
                        f"replay lands what is on disk, and {name} is about what to ask for: set one."
                    )
