"""What the vendors' sandboxes have in common, so that their records can be joined."""

_NAMES = (
    "Acme", "Borealis", "Cobalt Works", "Delphine", "Eastwind", "Fjord & Sons", "Granite Peak", "Halcyon", "Ironbark",
    "Juniper Labs", "Kestrel", "Lumen", "Meridian", "Northgate", "Orchard Row", "Pinecrest", "Quartzite", "Rivermark",
    "Solstice", "Tidewater", "Umbra", "Vantage Point", "Westerly", "Xylem", "Yarrow", "Zephyr", "Ångström", "Brûlée",
    "Çelik", "Dvořák", "Ébène", "Größe", "Håkon", "Ísafold", "José & Hijos", "Kraków", "Łódź", "Müller", "Ñandú",
    "Øresund",
)  # fmt: skip

COMPANIES: tuple[tuple[str, str], ...] = tuple(
    (name, f"company{number:02d}.example" if not name.isascii() else f"{name.split()[0].lower()}.example")
    for number, name in enumerate(_NAMES)
)
"""Fictitious companies and their e-mail domains: the same companies write chats and vote for ideas."""
