import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from connector_resources.errors import ConfigurationError, UnknownStream
from connector_resources.sources.faker import Draws, Faker, pages_ahead, products, purchases, users
from connector_resources.spool import Spool
from connector_resources.streams import Page, Slice, Stream

WHOLE = Slice()
STREAMS = pytest.mark.parametrize("stream", [users, products, purchases], ids=lambda stream: stream.name)


def faker(**settings: Any) -> Faker:
    return Faker(**{"count": 53, "seed": 7, "always_updated": False, **settings})


def raw(source: Faker, stream: Stream) -> list[bytes]:
    return [record for page in source.read(stream, WHOLE) for record in page.records]


@cache
def records(stream_name: str) -> list[dict[str, Any]]:
    source = faker(count=2000)
    return [json.loads(record, parse_float=Decimal) for record in raw(source, source.stream(stream_name))]


def instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo == UTC
    return moment


# Shape


@STREAMS
def test_a_record_has_the_declared_columns_in_their_order_and_types(stream: Stream) -> None:
    def type_of(value: Any) -> set[str]:
        if isinstance(value, str):
            return {"string", "timestamp"} if re.match(r"\d{4}-\d\d-\d\dT", value) else {"string"}
        return {{int: "integer", Decimal: "decimal", dict: "json"}[type(value)]}

    declared = {column.name: column.type for column in stream.columns}
    for record in records(stream.name):
        assert list(record) == list(declared)
        assert [
            name for name, value in record.items() if value is not None and declared[name] not in type_of(value)
        ] == []


@STREAMS
def test_every_column_is_described_in_one_line(stream: Stream) -> None:
    assert [column.name for column in stream.columns if not re.fullmatch(r".+[^.\n]\.", column.description)] == []


@STREAMS
def test_a_stream_is_a_snapshot_whose_newest_version_is_known(stream: Stream) -> None:
    assert (stream.is_partitioned, stream.cursor and stream.cursor.column) == (False, "updated_at")


@pytest.mark.parametrize(
    ("stream", "count", "expected"), [(users, 1, 1), (users, 1234, 1234), (purchases, 1234, 1234), (products, 1, 100)]
)
def test_ids_run_from_one_to_the_number_every_page_states(stream: Stream, count: int, expected: int) -> None:
    pages = list(faker(count=count, records_per_slice=100).read(stream, WHOLE))
    ids = [json.loads(record)["id"] for page in pages for record in page.records]
    assert (ids, {page.total for page in pages}) == (list(range(1, expected + 1)), {expected})


def test_an_address_has_its_seven_texts() -> None:
    keys = ["street_number", "street_name", "city", "state", "province", "postal_code", "country_code"]
    for user in records("users"):
        assert list(user["address"]) == keys
        assert all(isinstance(value, str) and value for value in user["address"].values())


def test_some_names_need_more_than_ascii_and_every_record_is_one_line_of_utf8() -> None:
    lines = raw(faker(count=2000), users)
    assert [line for line in lines if b"\n" in line or b"\r" in line] == []
    assert len([line for line in lines if not line.decode("utf-8").isascii()]) > 200


# Determinism


def test_the_random_numbers_are_those_of_splitmix64() -> None:
    def splitmix64(start: int, row: int) -> int:
        number = (start + row * 0x9E3779B97F4A7C15) % 2**64
        number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
        return number ^ number >> 31

    # The first numbers of java.util.SplittableRandom for the seed 1234567, printed in many test suites.
    assert [splitmix64(1234567, row) for row in (1, 2)] == [6457827717110365317, 3203168211198807973]
    rows = [1, 2, 3, 1000, 2**40]
    start = int.from_bytes(blake2b(b"7/age", digest_size=8).digest(), "big")
    draws = Draws(7, np.array(rows, np.uint64))
    assert draws.bits("age").tolist() == [splitmix64(start, row) for row in rows]
    assert draws.below(100, "age").tolist() == [(splitmix64(start, row) >> 32) * 100 >> 32 for row in rows]


@pytest.mark.parametrize("bound", [1, 2, 7, 2**32])
def test_a_number_below_a_bound_is_below_it(bound: int) -> None:
    numbers = Draws(1, np.arange(10_000, dtype=np.uint64)).below(bound, "any")
    assert (numbers.min() >= 0, numbers.max() < bound) == (True, True)


def test_every_value_below_a_bound_is_as_likely() -> None:
    counts = Counter(Draws(1, np.arange(100_000, dtype=np.uint64)).below(10, "any").tolist())
    assert [value for value in range(10) if abs(counts[value] - 10_000) > 500] == []


@STREAMS
def test_the_same_seed_gives_the_same_bytes(stream: Stream) -> None:
    assert raw(faker(), stream) == raw(faker(), stream)


@pytest.mark.parametrize("stream", [users, purchases], ids=lambda stream: stream.name)
@pytest.mark.parametrize(("one", "other"), [(7, 8), (0, 1), (-1, -1)])
def test_another_seed_and_every_random_one_gives_other_records(stream: Stream, one: int, other: int) -> None:
    first, second = raw(faker(seed=one), stream), raw(faker(seed=other), stream)
    assert [pair for pair in zip(first, second, strict=True) if pair[0] == pair[1]] == []


@STREAMS
@pytest.mark.parametrize("size", [1, 7, 53, 54])
def test_the_records_are_the_same_for_any_page_size(stream: Stream, size: int) -> None:
    assert raw(faker(records_per_slice=size), stream) == raw(faker(records_per_slice=1000), stream)


@STREAMS
def test_the_records_are_the_same_for_any_parallelism(stream: Stream) -> None:
    assert raw(faker(parallelism=8, records_per_slice=5), stream) == raw(faker(parallelism=1), stream)


@pytest.mark.parametrize("threads", [1, 2, 8, 100])
def test_pages_made_ahead_come_in_order(threads: int) -> None:
    expected = [Page((str(first).encode(),)) for first in range(1, 50, 3)]
    assert list(pages_ahead(lambda first: Page((str(first).encode(),)), range(1, 50, 3), threads)) == expected


def test_no_more_pages_are_made_ahead_than_there_are_threads() -> None:
    made: list[int] = []

    def page(first: int) -> Page:
        made.append(first)
        return Page(())

    pages = pages_ahead(page, range(1000), 3)
    for _ in range(10):
        next(pages)
    assert isinstance(pages, Iterator)
    pages.close()  # type: ignore[attr-defined]  # declared as an iterator, is a generator
    assert max(made) < 10 + 3


def test_a_page_that_fails_ahead_fails_the_read() -> None:
    def page(first: int) -> Page:
        if first == 5:
            raise ZeroDivisionError
        return Page(())

    with pytest.raises(ZeroDivisionError):
        list(pages_ahead(page, range(10), 4))


def test_more_users_leave_those_there_were_as_they_are() -> None:
    assert raw(faker(count=40), users) == raw(faker(count=400), users)[:40]


# Resume


@STREAMS
@pytest.mark.parametrize(
    "settings",
    [{}, {"always_updated": True}, {"seed": -1}, {"seed": -1, "always_updated": True}],
    ids=["fixed", "updated", "random", "random and updated"],
)
def test_reading_goes_on_after_any_page_as_if_it_had_not_stopped(stream: Stream, settings: dict[str, Any]) -> None:
    pages = list(faker(records_per_slice=9, **settings).read(stream, WHOLE))
    assert [page.token is None for page in pages] == [False] * (len(pages) - 1) + [True]
    for number, page in enumerate(pages[:-1], start=1):
        assert list(faker(records_per_slice=9, **settings).read(stream, WHOLE, page.token)) == pages[number:]


def test_an_interrupted_extraction_is_completed_from_its_spool(tmp_path: Path) -> None:
    def stop_at_the_third(spool: Spool) -> None:
        if len(spool.marks) == 3:
            spool.close()
            raise InterruptedError

    source = faker(seed=-1, records_per_slice=10)
    with pytest.raises(InterruptedError):
        source.extract(users, WHOLE, tmp_path, stop_at_the_third)
    spool = source.extract(users, WHOLE, tmp_path)
    spool.close()
    assert (spool.resumed_pages, len(spool.marks), spool.records) == (3, 6, 53)
    assert len({msgspec.json.decode(mark.token)["seed"] for mark in spool.marks if mark.token}) == 1


# Time


def test_always_updated_stamps_every_record_with_the_time_of_the_sync() -> None:
    for stream in (users, products, purchases):
        before = datetime.now(UTC)
        found = raw(faker(always_updated=True, records_per_slice=20), stream)
        stamps = {json.loads(record)["updated_at"] for record in found}
        assert len(stamps) == 1
        assert before <= instant(stamps.pop()) <= datetime.now(UTC)


@STREAMS
def test_always_updated_changes_nothing_else(stream: Stream) -> None:
    def without_stamp(source: Faker) -> list[dict[str, Any]]:
        return [{**json.loads(record), "updated_at": None} for record in raw(source, stream)]

    assert without_stamp(faker(always_updated=True)) == without_stamp(faker())


def test_a_sync_that_is_not_always_updated_repeats_itself_instead_of_ending_empty() -> None:
    source = faker(always_updated=False)
    assert (len(raw(source, users)), raw(source, users)) == (53, raw(source, users))


@STREAMS
def test_nothing_changes_before_it_is_there_and_nothing_lies_after_2025(stream: Stream) -> None:
    for record in records(stream.name):
        assert instant(record["created_at"]) <= instant(record["updated_at"]) < datetime(2026, 1, 1, tzinfo=UTC)


# References


def test_every_purchase_is_of_a_user_and_a_product_there_are() -> None:
    user_ids, product_ids = ({record["id"] for record in records(name)} for name in ("users", "products"))
    assert [p for p in records("purchases") if p["user_id"] not in user_ids or p["product_id"] not in product_ids] == []
    assert {purchase["product_id"] for purchase in records("purchases")} == product_ids


@pytest.mark.parametrize("count", [1, 9, 10, 11, 25])
def test_ten_users_have_ten_purchases_and_the_last_few_as_many_as_they_are(count: int) -> None:
    found = [json.loads(record) for record in raw(faker(count=count), purchases)]
    of_tens = Counter((purchase["user_id"] - 1) // 10 for purchase in found)
    assert of_tens == Counter((user - 1) // 10 for user in range(1, count + 1))
    assert max(purchase["user_id"] for purchase in found) <= count


@pytest.mark.parametrize("purchases_seed", [7, 8, -1])
def test_no_purchase_is_before_its_user_whatever_the_seeds(purchases_seed: int) -> None:
    signed_up = {user["id"]: instant(user["created_at"]) for user in records("users")}
    for record in raw(faker(count=2000, seed=purchases_seed), purchases):
        purchase = json.loads(record)
        assert signed_up[purchase["user_id"]] < instant(purchase["created_at"])


def test_a_purchase_goes_from_a_look_to_the_cart_to_the_till_and_back() -> None:
    stages = ("created_at", "added_to_cart_at", "purchased_at", "returned_at")
    reached: Counter[int] = Counter()
    for purchase in records("purchases"):
        times = [instant(purchase[stage]) for stage in stages if purchase[stage] is not None]
        assert [purchase[stage] is None for stage in stages] == [False] * len(times) + [True] * (4 - len(times))
        assert times == sorted(set(times))
        assert instant(purchase["updated_at"]) == times[-1]
        reached[len(times)] += 1
    assert min(reached[stage] for stage in (1, 2, 3, 4)) > 50


# Plausibility


def test_there_are_a_hundred_different_cars_with_exact_prices() -> None:
    cars = records("products")
    assert len({(car["make"], car["model"]) for car in cars}) == 100
    assert [car for car in cars if not 1960 <= car["year"] <= 2022 or not 2_000 < car["price"] < 130_000] == []
    assert {car["price"].as_tuple().exponent for car in cars} == {-2}


def test_the_cars_are_the_same_for_every_seed() -> None:
    assert raw(faker(seed=1), products) == raw(faker(seed=-1), products)


def test_an_email_is_unique_and_made_of_the_name_in_a_domain_that_cannot_exist() -> None:
    emails = [user["email"] for user in records("users")]
    assert len(set(emails)) == 2000
    for user in records("users"):
        assert re.fullmatch(rf"[a-z]+\.[a-z]+{user['id']}@[a-z]+\.example", user["email"])
        assert user["email"][0] == user["name"][0].lower() or not user["name"][0].isascii()


def test_gender_title_and_given_name_fit() -> None:
    # The e-mail address begins with the given name, without its spaces.
    names: dict[str, set[tuple[str, str]]] = {"Female": set(), "Male": set()}
    for user in records("users"):
        names[user["gender"]].add((user["address"]["country_code"], user["email"].split(".")[0]))
    assert (names["Female"] & names["Male"], len(names["Female"]) > 300, len(names["Male"]) > 300) == (
        set(),
        True,
        True,
    )
    assert {(user["gender"], user["academic_degree"] == "PhD", user["title"]) for user in records("users")} == {
        ("Female", False, "Mrs."),
        ("Female", False, "Ms."),
        ("Female", False, "Miss"),
        ("Female", True, "Dr."),
        ("Male", False, "Mr."),
        ("Male", True, "Dr."),
    }


def test_age_height_and_weight_are_those_of_grown_people() -> None:
    youngest = {"Bachelor": 22, "Master": 24, "PhD": 28}
    for user in records("users"):
        assert youngest[user["academic_degree"]] <= user["age"] <= 76
        assert re.fullmatch(r"1\.\d\d", user["height"])
        assert 1.47 <= float(user["height"]) <= 1.96
        assert 18.5 <= user["weight"] / float(user["height"]) ** 2 <= 31


def test_postal_code_and_nationality_fit_the_country() -> None:
    forms = {
        "US": r"\d{5}",
        "GB": r"[A-Z]{2}\d[A-Z] \d[A-Z]{2}",
        "DE": r"\d{5}",
        "FR": r"\d{5}",
        "ES": r"\d{5}",
        "IT": r"\d{5}",
        "NL": r"1\d{3} [A-Z]{2}",
        "SE": r"\d{3} \d{2}",
    }
    addresses = [user["address"] for user in records("users")]
    assert {address["country_code"] for address in addresses} == forms.keys()
    assert [a for a in addresses if not re.fullmatch(forms[a["country_code"]], a["postal_code"])] == []
    assert [address for address in addresses if address["state"] != address["province"]] == []
    swedes = [user["nationality"] for user in records("users") if user["address"]["country_code"] == "SE"]
    assert Counter(swedes).most_common(1)[0][0] == "Swedish"


def test_blood_types_and_telephones_are_written_as_usual() -> None:
    assert {user["blood_type"] for user in records("users")} == {"O+", "A+", "B+", "AB+", "O-", "A-", "B-", "AB-"}
    assert [u["telephone"] for u in records("users") if not re.fullmatch(r"\+?[\d(). -]{8,20}", u["telephone"])] == []


# Configuration


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "faker: count must be at least 1, not 0."),
        ({"records_per_slice": 0}, "faker: records_per_slice must be at least 1, not 0."),
        ({"parallelism": -2}, "faker: parallelism must be at least 1, not -2."),
        ({"seed": -5}, "faker: seed must be -1 or from 0 to 2^63 - 1, not -5."),
        ({"seed": 2**63}, "faker: seed must be -1 or from 0 to 2^63 - 1, not 9223372036854775808."),
        (
            {"count": -1, "seed": -2},
            "faker: count must be at least 1, not -1; seed must be -1 or from 0 to 2^63 - 1, not -2.",
        ),
    ],
)
@pytest.mark.parametrize("act", [Faker.check, lambda source: source.read(users, WHOLE)], ids=["check", "read"])
def test_a_setting_that_makes_no_sense_is_named(
    act: Callable[[Faker], object], settings: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        act(faker(**settings))
    assert str(caught.value) == message


def test_settings_come_from_the_environment_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("COUNT", "12"), ("SEED", "-1"), ("ALWAYS_UPDATED", "False"), ("PARALLELISM", "")):
        monkeypatch.setenv(f"FAKER_{name}", text)
    source = Faker.from_environment(seed=5)
    assert (source.count, source.seed, source.always_updated, source.parallelism) == (12, 5, False, 4)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("FAKER_COUNT", "many", "faker: FAKER_COUNT is 'many'; expected a whole number."),
        (
            "FAKER_ALWAYS_UPDATED",
            "maybe",
            "faker: FAKER_ALWAYS_UPDATED is 'maybe'; expected one of 1, true, yes, 0, false, no.",
        ),
    ],
)
def test_an_environment_variable_of_the_wrong_kind_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        Faker.from_environment()
    assert str(caught.value) == message


def test_a_stream_of_another_source_is_refused() -> None:
    other = Stream(name="goals", description="", columns=users.columns, primary_key=("id",))
    with pytest.raises(UnknownStream, match="Streams: users, products, purchases"):
        faker().read(other, WHOLE)


def test_settings_that_give_other_records_are_other_accounts() -> None:
    other: list[dict[str, Any]] = [
        {"count": 54},
        {"seed": 8},
        {"seed": -1},
        {"always_updated": True},
        {"seed": 87, "count": 5},
    ]
    accounts = {faker(**settings).account for settings in [{}, *other]}
    assert len(accounts) == 6
    assert [account for account in accounts if not re.fullmatch(r"[a-z0-9-]+", account)] == []


def test_settings_that_only_change_how_records_are_made_are_the_same_account() -> None:
    assert faker(records_per_slice=3, parallelism=1).account == faker().account
