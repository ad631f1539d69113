"""What a read or a write has done."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from connector_resources.datasets import CachedDataset

if TYPE_CHECKING:
    import sqlalchemy

    from connector_resources.caches import CacheBase


class ReadResult(Mapping[str, CachedDataset]):
    """The streams of one read, by their names; `processed_records` is how many records it received of all of them."""

    def __init__(
        self, processed_records: int, cache: "CacheBase", streams: Mapping[str, CachedDataset], source_name: str = ""
    ) -> None:
        self.processed_records = processed_records
        self.source_name = source_name
        self._cache = cache
        self._streams = dict(streams)

    def __getitem__(self, stream: str) -> CachedDataset:
        return self._streams[stream]

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
        """Return an engine of SQLAlchemy on the cache. Needs the extra `sql`."""
        return self._cache.get_sql_engine()
