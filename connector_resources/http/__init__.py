"""The mechanics of reading an HTTP API: messages, paginators, authenticators, limits, retries, and the read loop."""
