"""Numbers as people say them."""

import pytest

from connector_resources.words import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 pages"), (1, "1 page"), (2, "2 pages"), (1_200, "1,200 pages")])
def test_one_of_a_thing_is_not_many(number: int, said: str) -> None:
    assert counted(number, "page") == said


def test_what_has_a_plural_of_its_own_is_counted_by_it() -> None:
    assert (counted(1, "company", "companies"), counted(2, "company", "companies")) == ("1 company", "2 companies")
