"""The sandbox's well-known accounts: credentials that open nothing but the local stand-ins."""

from typing import Any

from connector_resources.sandbox.vendors import stand_in, vendors

_CREDENTIALS: dict[str, dict[str, Any]] = {
    "aha": {
        "subdomain": "sandbox",
        "api_key": "5a4d" * 16,
        "custom_objects": "APP:incidents,APP:customers",
        "custom_reports": "7012345678901290001",
    },
    "drift": {
        "access_token": "sandbox-access-token",
        "client_id": "sandbox-client-id",
        "client_secret": "sandbox-client-secret",
        "refresh_token": "sandbox-refresh-token",
        "contact_emails": ["lea.blum@acme.example", "chloe.dubois@northgate.example"],
    },
    "faker": {"seed": 1, "always_updated": False},  # needs no account; so the same job again lands the same rows
}


def credentials(vendor: str) -> dict[str, Any]:
    """Return the fields with which the source of `vendor` reads its sandbox; empty for a vendor without one."""
    if vendor not in _CREDENTIALS and vendor in vendors():
        return dict(getattr(stand_in(vendor), "CREDENTIALS", {}))
    return dict(_CREDENTIALS.get(vendor, {}))


def lasting_credentials(vendor: str) -> dict[str, Any]:
    """Return the same without what is renewed while it is used.

    A refresh token is good once. Two folders of data that read one sandbox would lock each other out.
    """
    return {name: value for name, value in credentials(vendor).items() if name not in _OAUTH}


_OAUTH = ("client_id", "client_secret", "refresh_token")


def airbyte_config(vendor: str, address: str | None) -> dict[str, Any] | None:
    """Return what opens the sandbox at `address`, in the keys of Airbyte's connectors; None for who has nothing there.

    Without an address it opens the one that is started when it is needed. What those connectors have no key for, and
    the account of a vendor of another package, is in our fields.
    """
    if vendor not in _CREDENTIALS and vendor not in vendors():
        return None
    config = lasting_credentials(vendor)
    if vendor == "aha":
        del config["subdomain"]
        return {**config, "url": "https://sandbox.aha.io" if address is None else f"{address}/{vendor}"}
    if vendor == "drift":
        config["credentials"] = {"credentials": "access_token", "access_token": config.pop("access_token")}
        config["email"] = config.pop("contact_emails")[0]
    if vendor in vendors() and address is not None:
        config["base_url"] = f"{address}/{vendor}"
    return config


def place(vendor: str, account: str) -> str:
    """Return the first segment of the paths at which the sandbox serves an account; the plain one is the vendor's."""
    return vendor if account == vendor else f"{vendor}.{account}"


def vendor_at(place: str) -> str:
    """Return whose account is served at a place."""
    return place.partition(".")[0]
