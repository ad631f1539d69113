"""E-mail domains: what addresses of one company have in common, and those that say nothing of a company."""

from typing import TYPE_CHECKING, Any

from orchestration.frames.columns import as_text

if TYPE_CHECKING:
    import pandas as pd

FREE_MAIL = frozenset(
    f"{name}.{ending}"
    for name, endings in {
        "126": "com",
        "163": "com",
        "aol": "com",
        "bluewin": "ch",
        "comcast": "net",
        "fastmail": "com fm",
        "free": "fr",
        "gmail": "com",
        "gmx": "at ch com de net",
        "googlemail": "com",
        "hey": "com",
        "hotmail": "com co.uk de es fr it",
        "icloud": "com",
        "libero": "it",
        "live": "com co.uk fr nl",
        "mac": "com",
        "mail": "com ru",
        "me": "com",
        "msn": "com",
        "orange": "fr",
        "outlook": "com de es fr",
        "proton": "me",
        "protonmail": "com",
        "qq": "com",
        "t-online": "de",
        "tutanota": "com",
        "web": "de",
        "wp": "pl",
        "yahoo": "com ca co.in co.jp co.uk com.br de es fr it",
        "yandex": "com ru",
        "ymail": "com",
        "zoho": "com",
    }.items()
    for ending in endings.split()
)
"""Providers that give an address to anybody: two people with such a domain need have nothing to do with each other."""


def domain_of(addresses: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return what follows the last @ of each address, in lower case; null where there is no address."""
    return as_text(addresses).str.extract(r"@\s*([^@\s]+?)\.?\s*$", expand=False).str.lower()
