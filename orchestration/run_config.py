"""What one run may be told beside its partitions: the form that the launchpad shows for every stream."""

import dagster as dg
from pydantic import Field


class StreamConfig(dg.Config):
    """How one run reads and lands a stream. Without any, it reads the API and lands what is whole.

    On the command line: `--config-json '{"ops": {"aha__features": {"config": {"replay": true}}}}'`, the asset's key
    with two underscores for its slash.
    """

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
