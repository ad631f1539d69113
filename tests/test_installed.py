"""Connectors and stand-ins of other packages, as installed ones announce them."""

from datetime import date
from pathlib import Path

import pytest

from connector_resources.errors import ConfigurationError
from connector_resources.installed import SOURCES, STAND_INS, announced
from connector_resources.sandbox.accounts import credentials
from connector_resources.sandbox.vendors import stand_in, vendors
from connector_resources.sources import discover
from orchestration.connection import Connection, source_resource
from orchestration.settings import Settings

ALREADY = {kind.name for kind in discover()}
SOURCE = """
from connector_resources.http.rate_limit import RateLimit
from connector_resources.resource import HttpSource

class Source(HttpSource):
    name = "{name}"
    streams = ()
    rate_limit = RateLimit()
"""


class Site:
    """A folder on the path in which packages are installed, as pip leaves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, module: str = "", group: str = SOURCES, **entries: str) -> None:
        """Install a package with one module of its name and these entry points."""
        (self.folder / f"{package}.py").write_text(module)
        facts = self.folder / f"{package}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "\n".join(f"{name} = {value}" for name, value in entries.items())
        (facts / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Site(tmp_path)


def names() -> list[str]:
    """What is found beside what was there already."""
    return [kind.name for kind in discover() if kind.name not in ALREADY]


def test_sources_of_installed_packages_are_found_in_the_order_of_their_names(site: Site) -> None:
    site.install("installed_zoo", SOURCE.format(name="zoo"), zoo="installed_zoo")
    site.install("installed_apiary", SOURCE.format(name="apiary"), apiary="installed_apiary")
    assert names() == ["apiary", "zoo"]


def test_what_a_module_imports_is_no_source_of_its_own(site: Site) -> None:
    site.install("installed_lender", SOURCE.format(name="lender"), lender="installed_lender")
    site.install("installed_borrower", "from installed_lender import Source", borrower="installed_borrower")
    with pytest.raises(ConfigurationError, match=r"borrower is installed_borrower, a module that defines no source"):
        names()


@pytest.mark.parametrize("fact", ["name", "streams", "rate_limit"])
def test_a_source_that_lacks_a_fact_is_told_which(site: Site, fact: str) -> None:
    source = "\n".join(line for line in SOURCE.format(name="bare").splitlines() if not line.startswith(f"    {fact} ="))
    site.install(f"installed_bare_{fact}", source, bare=f"installed_bare_{fact}")
    with pytest.raises(ConfigurationError, match=f"installed_bare_{fact}.Source does not state its {fact}: each is"):
        names()


def test_a_name_that_another_source_has_is_refused(site: Site) -> None:
    site.install("installed_copy", SOURCE.format(name="aha"), copy="installed_copy")
    with pytest.raises(ConfigurationError, match=r"installed_copy calls its source 'aha', as .*sources\.aha does"):
        names()


def test_a_name_that_two_packages_announce_is_refused(site: Site) -> None:
    site.install("installed_first", twin="installed_first")
    site.install("installed_second", twin="installed_second")
    with pytest.raises(ConfigurationError, match=r"twin is announced twice, as installed_\w+ by installed_\w+ and as"):
        announced(SOURCES)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("installed_nowhere", r"which cannot be imported \(No module named 'installed_nowhere'\)"),
        ("installed_broken:Absent", r"which cannot be imported \(.*has no attribute 'Absent'\)"),
        ("installed_broken:Source", "which is no module"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_named_with_its_package(site: Site, value: str, why: str) -> None:
    site.install("installed_broken", SOURCE.format(name="broken"), broken=value)
    with pytest.raises(ConfigurationError, match=f"headrace.sources: broken of installed_broken is {value}, {why}"):
        names()


def test_a_stand_in_of_an_installed_package_is_mounted_with_its_credentials(site: Site) -> None:
    site.install("installed_inn", 'CREDENTIALS = {"key": "sandbox"}', group=STAND_INS, inn="installed_inn")
    assert {"aha", "drift", "inn"} <= set(vendors())
    assert (stand_in("inn").__name__, credentials("inn")) == ("installed_inn", {"key": "sandbox"})


def test_a_stand_in_may_do_without_credentials(site: Site) -> None:
    site.install("installed_open", group=STAND_INS, open="installed_open")
    assert credentials("open") == {}


def test_credentials_of_a_stand_in_that_are_no_field_of_the_source_are_named(site: Site, tmp_path: Path) -> None:
    site.install("installed_odd", SOURCE.format(name="odd"), odd="installed_odd")
    site.install("installed_odd_inn", 'CREDENTIALS = {"apikey": "1"}', group=STAND_INS, odd="installed_odd_inn")
    (kind,) = (kind for kind in discover() if kind.name == "odd")
    with pytest.raises(ConfigurationError, match="odd: the credentials of its stand-in have apikey, which is no field"):
        source_resource(kind, Settings("sandbox", tmp_path, date(2026, 1, 1)))


def test_a_source_without_a_stand_in_says_so_before_it_is_asked_for(site: Site) -> None:
    site.install("installed_live", SOURCE.format(name="live_only"), live_only="installed_live")
    (kind,) = (kind for kind in discover() if kind.name == "live_only")
    sandbox = Connection(mode="sandbox", sandbox_url="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="live_only has no stand-in in the sandbox, which has aha, drift"):
        sandbox.connected(kind())
