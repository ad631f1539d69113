"""What one would write by hand: `python -m tests.benchmarks.plain_script URL FOLDER [WORK]`, with requests and pandas.

One page after the other, all records in a list, one DataFrame, one table. A table that is there already is asked for
its newest change, what came since is fetched, and replaces the rows of the same ids. `ideas` fetches ideas, and the
comments of each.
"""

import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import requests

from tests.benchmarks.own_cost import own_cpu_seconds

PAGE_SIZE = 200


def pages(session: requests.Session, url: str, name: str, **params: str) -> list[dict[str, Any]]:
    """Return the records of all pages of a list."""
    records: list[dict[str, Any]] = []
    number = pages = 1
    while number <= pages:
        answer = session.get(
            url, params={"fields": "*", "page": str(number), "per_page": str(PAGE_SIZE), **params}, timeout=60
        )
        answer.raise_for_status()
        body = answer.json()
        records += body[name]
        number, pages = number + 1, body["pagination"]["total_pages"]
    return records


def main(url: str, folder: Path, work: str = "features") -> None:
    """Fetch, make a frame, write a table."""
    names = ("features",) if work == "features" else ("ideas", "idea_comments")
    with requests.Session() as session, duckdb.connect(str(folder / "script.duckdb")) as connection:
        session.headers["Authorization"] = "Bearer key"
        known = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
        since = {}
        if names[0] in known:
            (newest,) = connection.execute(f"SELECT max(updated_at) FROM {names[0]}").fetchall()[0]
            since = {"updated_since": newest}
        records = pages(session, f"{url}/api/v1/{names[0]}", names[0], **since)
        found = {names[0]: records}
        if work != "features":
            found["idea_comments"] = [
                {"idea_id": idea["id"], **comment}
                for idea in records
                for comment in pages(session, f"{url}/api/v1/ideas/{idea['id']}/idea_comments", "idea_comments")
            ]
        for name, rows in found.items():
            if not rows:
                continue
            frame = pd.DataFrame(rows)
            connection.register("frame", frame)
            if name in known:
                connection.execute(f"DELETE FROM {name} WHERE id IN (SELECT id FROM frame)")
                connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM frame")
            else:
                connection.execute(f"CREATE TABLE {name} AS SELECT * FROM frame")


if __name__ == "__main__":
    before = own_cpu_seconds()
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    (Path(sys.argv[2]) / "cpu_after_imports").write_text(str(own_cpu_seconds() - before))
