"""Which run landed which partition, and what of it is still on disk and may be landed again."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from connector_resources.destinations.duckdb import DuckDB
from connector_resources.errors import NotReplayable
from connector_resources.landing import landings_of
from connector_resources.spool import Kept, kept
from connector_resources.streams import Stream

_SHOWN = 5


def replayable(
    store: DuckDB,
    spools: Path,
    source: str,
    stream: Stream,
    partitions: Sequence[str],
    *,
    account: str | None,
    is_one_account: bool = False,
) -> Kept:
    """Return the newest complete extraction on disk that was read for all of these partitions.

    Its declaration may be an older one: it is landed under that of today. `account` is the one that would be read now.
    Where that is not known (None), everything there has to be of one account, unless the caller knows that it is one
    under several names. Raises NotReplayable where nothing fits, or where another extraction has been landed since
    this one was read: a replay would bring back the past.
    """
    where = f"{source}.{stream.name} {partitions[0] if len(partitions) == 1 else f'{partitions[0]}…{partitions[-1]}'}"
    there = [
        each
        for each in kept(spools)
        if (each.key.source, each.key.stream) == (source, stream.name) and each.state not in ("unfinished", "damaged")
    ]
    found = [each for each in there if each.covers(partitions) and account in (None, each.key.account)]
    if not found:
        raise NotReplayable(
            f"{where}: no extraction that can be replayed is on disk in {spools}. {_what_is(there, account)} Without "
            "replay, a run reads the API."
        )
    accounts = {each.key.account for each in found}
    if len(accounts) > 1 and not is_one_account:
        raise NotReplayable(
            f"{where}: extractions of {len(accounts)} accounts are on disk ({', '.join(sorted(accounts))}), and which "
            "is meant is not known. Set the credentials; no request is made."
        )
    newest = found[0]
    for partition, landing in sorted(landings_of(store, source, stream.name, partitions).items()):
        if landing.landed_at > newest.read_at and landing.run_id not in newest.landed_by:
            raise NotReplayable(
                f"{where}: the newest extraction on disk was read at {_instant(newest.read_at)}, and partition "
                f"{partition} was landed by another at {_instant(landing.landed_at)}. A replay would bring back the "
                "past. Replay other partitions, or run it without replay."
            )
    return newest


def _what_is(there: Sequence[Kept], account: str | None) -> str:
    """Say what of a stream is there to be replayed."""
    if not there:
        return "There is none of this stream."
    lines = [
        f"{each.shown_partitions} read {_instant(each.read_at)}"
        + (" from another account" if account not in (None, each.key.account) else "")
        for each in there[:_SHOWN]
    ]
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"Of this stream there are: {'; '.join(lines)}{more}."


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
