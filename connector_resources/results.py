"""What a read or a write has done."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from connector_resources.caches import StreamNotInCache
from connector_resources.datasets import CachedDataset

if TYPE_CHECKING:
    import sqlalchemy

    from connector_resources.caches import CacheBase
    from connector_resources.writing import Destination


class ReadResult(Mapping[str, CachedDataset]):
    """The streams of one read, by their names; `processed_records` is how many records it received of all of them.

    `aliases` are other names by which a stream can be asked for.
    """

    def __init__(
        self,
        processed_records: int,
        cache: "CacheBase",
        streams: Mapping[str, CachedDataset],
        source_name: str = "",
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.processed_records = processed_records
        self.source_name = source_name
        self._cache = cache
        self._streams = dict(streams)
        self._aliases = dict(aliases)  # a proxy goes into no other process

    def __getitem__(self, stream: str) -> CachedDataset:
        if (found := self._streams.get(self._aliases.get(stream, stream))) is None:
            raise StreamNotInCache(
                f"There is no stream {stream} in this result.",
                guidance="Take one that was read; what earlier reads have left is in `result.cache`.",
                stream_name=str(stream),
                available_streams=list(self),
            )
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.processed_records} records of {', '.join(self) or 'no stream'})"

    @property
    def streams(self) -> Mapping[str, CachedDataset]:
        """The streams that were read, by their names."""
        return MappingProxyType(self._streams)

    @property
    def cache(self) -> "CacheBase":
        """The cache they were read into."""
        return self._cache

    def get_sql_engine(self) -> "sqlalchemy.Engine":
        """Return an engine of SQLAlchemy on the cache."""
        return self._cache.get_sql_engine()


class WriteResult:
    """What a destination has written: `records` of each stream, and the file or the table that they are in."""

    def __init__(
        self,
        destination: "Destination",
        source_data: Any,
        records: Mapping[str, int],
        files: Mapping[str, Path],
        tables: Mapping[str, str],
    ) -> None:
        self.destination = destination
        self.source_data = source_data
        self.records = MappingProxyType(dict(records))
        self.files = MappingProxyType(dict(files))
        self.tables = MappingProxyType(dict(tables))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how pickle makes the same again: of what goes into another process, which proxies do not."""
        made_of = (self.destination, self.source_data, dict(self.records), dict(self.files), dict(self.tables))
        return type(self), made_of

    @property
    def processed_records(self) -> int:
        """How many records were written, of all streams."""
        return sum(self.records.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.processed_records} records of {', '.join(self.records) or 'no stream'})"
