"""Whose a table is: rows of two accounts, or of the sandbox and a vendor, never share one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connector_resources.destinations.duckdb_claims import Claim, claim, claims, held
from connector_resources.errors import TableTaken
from tests.destinations.things import destination

OURS = Claim("live", "aha", "features", "aha-1", "days")


def test_a_claim_is_kept_and_the_same_one_may_be_made_again(tmp_path: Path) -> None:
    store = destination(tmp_path)
    assert claims(store) == {}
    claim(store, "aha", "features", OURS)
    claim(store, "aha", "features", OURS)
    assert claims(store) == {("aha", "features"): OURS}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Claim("live", "aha", "features", "aha-2", "days"), "holds aha.features, of the account aha-1"),
        (Claim("live", "drift", "features", "aha-1", "days"), "Their rows would mix"),
        (Claim("live", "aha", "features", "aha-1", "reads"), "was written day by day so far"),
    ],
)
def test_a_table_of_another_account_or_layout_is_refused_until_it_is_replaced(
    tmp_path: Path, other: Claim, said: str
) -> None:
    store = destination(tmp_path)
    claim(store, "aha", "features", OURS)
    with pytest.raises(TableTaken, match=said):
        claim(store, "aha", "features", other)
    assert claims(store) == {("aha", "features"): OURS}
    assert claim(store, "aha", "features", other, replace=True)
    assert claims(store) == {("aha", "features"): OURS}, "its rows are there yet"
    with store.attached(read_only=False) as connection:
        held(store.path, "aha", "features", other, True, connection)
    assert claims(store) == {("aha", "features"): other}


@pytest.mark.parametrize("replace", [False, True])
def test_rows_of_the_sandbox_never_get_into_a_database_with_real_ones(tmp_path: Path, replace: bool) -> None:
    store = destination(tmp_path)
    claim(store, "aha", "features", OURS)
    with pytest.raises(TableTaken, match="give each a file of its own"):
        claim(store, "faker", "users", Claim("sandbox", "faker", "users", "faker", "snapshot"), replace=replace)


def test_of_two_accounts_that_claim_a_table_at_once_one_gets_it(tmp_path: Path) -> None:
    store = destination(tmp_path)

    def claimed(number: int) -> bool:
        try:
            claim(store, "aha", "features", Claim("live", "aha", "features", f"aha-{number}", "days"))
        except TableTaken:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claimed, range(4))) == [False, False, False, True]
