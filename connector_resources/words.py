"""Numbers as people say them."""

_DURATIONS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))


def counted(number: float, one: str, many: str = "") -> str:
    """Return a number and what it counts: `1 page`, `1,200 pages`."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Return a duration for people: `45 s`, `12 min`, `3.4 h`, `2.1 days`."""
    length, unit = next((length, unit) for least, length, unit in _DURATIONS if seconds >= least)
    value = seconds / length
    return f"{value:.1f} {unit}" if value < 10 and unit in ("h", "days") else f"{value:.0f} {unit}"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in percent; of nothing it is none."""
    return f"{part / whole if whole else 0:.0%}".replace("%", " %")
