"""The sandbox's well-known accounts: credentials that open nothing but the local stand-ins."""

_CREDENTIALS = {
    "aha": {"subdomain": "sandbox", "api_key": "5a4d" * 16},
    "drift": {
        "access_token": "sandbox-access-token",
        "client_id": "sandbox-client-id",
        "client_secret": "sandbox-client-secret",
        "refresh_token": "sandbox-refresh-token",
    },
}


def credentials(vendor: str) -> dict[str, str]:
    """Return what the sandbox of `vendor` accepts, by the names of the source's fields; empty for a vendor without one."""
    return dict(_CREDENTIALS.get(vendor, {}))
