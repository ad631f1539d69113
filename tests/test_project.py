"""The project around the code: what is printed, pinned, documented and imported.

Everything walks the tree, so a file that is added tomorrow is held to the same rules. Rules that a reader could believe
to hold while they check nothing are tried on a tree with a planted violation.
"""

import ast
import functools
import graphlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("connector_resources", "orchestration")

FLOORS = {
    "connector_resources.config_keys": 0,
    "connector_resources.document_fields": 0,
    "connector_resources.errors": 0,
    "connector_resources.html_text": 0,
    "connector_resources.installed": 0,
    "connector_resources.streams": 0,
    "connector_resources.http": 1,
    "connector_resources.days": 1,
    "connector_resources.schema": 1,
    "connector_resources.spool": 1,
    "connector_resources.resource": 2,
    "connector_resources.destinations": 3,
    "connector_resources.sandbox": 3,
    "connector_resources.sources": 3,
    "connector_resources.api": 4,
    "connector_resources.begun_reads": 4,
    "connector_resources.sql_text": 4,
    "connector_resources.caches": 4,
    "connector_resources.datasets": 4,
    "connector_resources.cli": 4,
    "connector_resources.cli_config": 4,
    "connector_resources.cli_output": 4,
    "connector_resources.configs": 4,
    "connector_resources.contents": 4,
    "connector_resources.documents": 4,
    "connector_resources.exceptions": 4,
    "connector_resources.secrets": 4,
    "connector_resources.catalog": 4,
    "connector_resources.connecting": 4,
    "connector_resources.environment": 4,
    "connector_resources.landing": 4,
    "connector_resources.left_out": 4,
    "connector_resources.paths": 4,
    "connector_resources.progress": 4,
    "connector_resources.side_by_side": 4,
    "connector_resources.records": 4,
    "connector_resources.strategies": 4,
    "connector_resources.terminal": 4,
    "connector_resources.watching": 4,
    "connector_resources.words": 0,
    "connector_resources.sync": 4,
    "connector_resources.results": 4,
    "connector_resources.sql_engine": 4,
    "connector_resources.writing": 4,
    "orchestration": 4,
    "orchestration.definitions": 5,
    "orchestration.main_job": 5,
    "orchestration.replay": 5,
}
"""The floor of each module, or of all modules of a package; the longest name that fits counts."""

STRANGERS = (
    ("connector_resources", "orchestration"),
    ("connector_resources.sources", "connector_resources.destinations"),
    ("connector_resources.sources", "connector_resources.sandbox"),
    ("connector_resources.destinations", "connector_resources.sources"),
    ("connector_resources.destinations", "connector_resources.sandbox"),
)
"""Pairs of which the first never imports the second."""

DAGSTER_IS_FOR = ("orchestration",)


# The README's commands


def readme_block(name: str) -> str:
    """Return what `.ci/run` runs: the block after a marker, as the script prints it."""
    script = str(ROOT / "scripts" / "readme-block")
    return subprocess.run([script, name], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("marker", "target"), [("main-job", "run"), ("tests", "test")])
def test_a_readme_block_is_one_command_that_make_knows(marker: str, target: str) -> None:
    assert readme_block(marker) == f"make {target}\n"
    assert target in make_targets()


def test_the_readmes_commands_are_in_its_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:25]
    assert [line for line in first_screen if line.startswith(("<!--", "make"))] == [
        "<!-- main-job -->",
        "make run",
        "<!-- tests -->",
        "make test",
    ]
    assert any("make ui" in line and "http://127.0.0.1:3000" in line for line in first_screen)


def test_a_marker_that_the_readme_does_not_have_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        readme_block("no-such-block")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"(?m)(?:^|`|= )make ([a-z][a-z0-9-]*)(?=$|`|\s)", (ROOT / document).read_text()))
    assert named
    assert named <= make_targets()


def make_targets() -> set[str]:
    """Return the targets of the Makefile that are meant for people: they have a line of help."""
    return set(re.findall(r"(?m)^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text()))


def test_every_make_target_is_phony() -> None:
    phony = re.findall(r"(?m)^\.PHONY: (.*)$", (ROOT / "Makefile").read_text())
    assert set(" ".join(phony).split()) == make_targets()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_that_a_document_links_to_exists(document: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / document).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


# Dependencies and their pins


def requirements() -> list[Requirement]:
    """Return what pyproject.toml asks for, for a run and for development."""
    return [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]


def requirements_of_steps() -> list[Requirement]:
    """Return what the tests in a browser and those of extras ask for, which is not installed where nobody runs them."""
    extras = PROJECT["optional-dependencies"]
    return [Requirement(text) for extra in ("browser", "arrow") for text in extras[extra]]


def pins() -> list[Requirement]:
    """Return the lines of constraints.txt that are not comments."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_the_constraints_name_packages_and_versions_and_nothing_else() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert [line for line in text.splitlines() if re.search(r"://|@|--|file:|/", line)] == []
    loose = [str(pin) for pin in pins() if not re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier))]
    assert loose == []


def test_the_constraints_pin_everything_that_is_installed_for_this_project() -> None:
    pinned = {canonicalize_name(pin.name) for pin in pins()}
    wanted, seen = requirements(), set[str]()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        extras = requirement.extras or {""}
        for text in importlib.metadata.requires(requirement.name) or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                wanted.append(needed)
    assert len(seen) > len(requirements())
    assert sorted(seen - pinned) == []


def test_every_pin_is_within_the_bounds_that_the_project_declares() -> None:
    every = (*requirements(), *requirements_of_steps())
    bounds = {canonicalize_name(requirement.name): requirement.specifier for requirement in every}
    assert bounds.keys() <= {canonicalize_name(pin.name) for pin in pins()}
    outside = [
        str(pin)
        for pin in pins()
        if canonicalize_name(pin.name) in bounds
        and not bounds[canonicalize_name(pin.name)].contains(next(iter(pin.specifier)).version)
    ]
    assert outside == []


def test_pyarrow_is_installed_neither_with_the_project_nor_for_its_tests() -> None:
    """Where it is installed, pandas loads it in every process."""
    wanted, seen = requirements(), set[str]()
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name not in seen:
            seen.add(name)
            needed = map(Requirement, importlib.metadata.requires(name) or ())
            wanted.extend(each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""}))
    assert {"dagster", "pytest"} <= seen
    assert "pyarrow" not in seen


def test_matplotlib_is_not_installed_with_the_project() -> None:
    wanted, seen = [Requirement(text) for text in PROJECT["dependencies"]], set[str]()
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name not in seen:
            seen.add(name)
            needed = map(Requirement, importlib.metadata.requires(name) or ())
            wanted.extend(each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""}))
    assert "dagster" in seen
    assert "matplotlib" not in seen


def test_the_tests_of_extras_run_with_the_pinned_packages_of_these_extras() -> None:
    (listed,) = re.findall(r"grep -E '\^\((.*)\)==' constraints\.txt", (ROOT / "Makefile").read_text())
    extras = PROJECT["optional-dependencies"]
    assert sorted(listed.split("|")) == sorted(Requirement(text).name for text in extras["arrow"])
    assert set(listed.split("|")) <= {pin.name for pin in pins()}


def test_contributing_gives_a_reason_for_every_dependency() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    every = (*requirements(), *requirements_of_steps())
    assert [requirement.name for requirement in every if f"`{requirement.name}`" not in text] == []


def test_every_package_that_is_imported_is_declared() -> None:
    every = (*requirements(), *requirements_of_steps())
    declared = {canonicalize_name(requirement.name) for requirement in every}
    # What is drawn says itself where matplotlib is missing.
    wanted = (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["plots"])
    for_runs = {canonicalize_name(Requirement(text).name) for text in wanted}
    distributions = importlib.metadata.packages_distributions()
    undeclared = set()
    for package, allowed in (*((package, for_runs) for package in PACKAGES), ("tests", declared)):
        for module in modules(ROOT, package):
            for name in imports(module):
                top = name.partition(".")[0]
                if top in sys.stdlib_module_names or top in (*PACKAGES, "tests"):
                    continue
                if not {canonicalize_name(name) for name in distributions.get(top, (top,))} & allowed:
                    undeclared.add(f"{module.name} imports {top}")
    assert sorted(undeclared) == []


def test_the_installer_accepts_the_pythons_that_the_project_declares() -> None:
    assert PROJECT["requires-python"] == ">=3.11,<3.15"
    script = (ROOT / "scripts" / "install").read_text()
    assert "(3, 11) <= sys.version_info[:2] < (3, 15)" in script
    assert "--python '>=3.11,<3.15'" in script


# What is tracked

FORBIDDEN = {
    "package index": re.compile(r"pypi\.org|pythonhosted\.org|https?://\S+/simple\b"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "token": re.compile(
        r"\bAKIA[0-9A-Z]{16}\b|\bgh[opsu]_[0-9A-Za-z]{30}|\bxox[abp]-[0-9]{8}|\bsk_live_[0-9A-Za-z]{16}"
    ),
    "signed token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "password in an address": re.compile(r"://[^\s/:@\"'{}<>]+:(?!\.\.\.)[^\s/:@\"'{}<>]{12,}@"),
    "credential": re.compile(
        r"(?i)(?:api_?key|access_token|client_secret|refresh_token|password)[\"']?\s*[:=]\s*[\"']?[0-9a-f]{32,}\b"
    ),
    "home directory": re.compile(r"/(?:home|Users)/[a-z]\w*/|(?<![\w.])/(?:root)/"),
}


def findings(name: str, text: str) -> Iterator[str]:
    """Yield what must not be in a file, with the line it is in."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if pattern.search(line):
                yield f"{name}:{number}: {what}"


def test_no_tracked_file_names_an_index_a_credential_or_a_home_directory() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert "pyproject.toml" in names
    found = [line for name in names for line in findings(name, (ROOT / name).read_text(errors="replace"))]
    assert found == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("index" + "-url = https://files.python" + "hosted.org/x", "package index"),
        ("--index" + "-url https://mirror.example/ro" + "ot/simple", "package index"),
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "private key"),
        ("AKIA" + "ABCDEFGH01234567", "token"),
        (".".join(("eyJ" + "hbGciOiJIUzI1NiIs", "eyJ" + "zdWIiOiIxMjM0NTY3ODkw", "c2lnbmF0dXJlc2")), "signed token"),
        ("postgresql://user:" + "correcthorsebattery" + "@db.example/x", "password in an address"),
        ("AHA_API_KEY=" + "0123456789abcdef" * 4, "credential"),
        ("open('/home" + "/ada/data.csv')", "home directory"),
    ],
)  # fmt: skip
def test_what_must_not_be_tracked_is_found(line: str, what: str) -> None:
    assert list(findings("a", f"first\n{line}\n")) == [f"a:2: {what}"]


# The environment


def variables_read() -> set[str]:
    """Return the variables that the code reads: `variable="X"`, `os.environ.get("X")`, `number(environment, "X")`."""
    found = set()
    for package in PACKAGES:
        for module in modules(ROOT, package):
            for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
                texts = [argument for argument in call.args if isinstance(argument, ast.Constant)]
                named = [keyword.value for keyword in call.keywords if keyword.arg == "variable"]
                parts = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(call)}
                reads = texts if {"environment", "environ"} & parts else []
                for constant in (*reads, *(value for value in named if isinstance(value, ast.Constant))):
                    if isinstance(constant.value, str) and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", constant.value):
                        found.add(constant.value)
    return found


def test_the_example_environment_has_every_variable_that_is_read_and_no_other() -> None:
    documented = re.findall(r"(?m)^(?:# )?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text())
    assert sorted(documented) == sorted(variables_read())


def test_the_example_environment_explains_every_variable() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    blocks = "\n".join(lines).split("\n\n")
    unexplained = [
        block
        for block in blocks
        if re.search(r"(?m)^(# )?[A-Z][A-Z0-9_]+=", block) and not re.match(r"# \w+.* ", block)
    ]
    assert unexplained == []


# Floors


class Module:
    """One Python file of a tree, by the name it is imported by."""

    def __init__(self, root: Path, path: Path) -> None:
        parts = path.relative_to(root).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.tree = ast.parse(path.read_text(), filename=str(path))


@functools.cache
def modules(root: Path, package: str) -> list[Module]:
    """Return the modules of a package in a tree, each parsed once."""
    return [Module(root, path) for path in sorted((root / package).rglob("*.py"))]


def imports(module: Module, *, when_loaded: bool = False) -> Iterator[str]:
    """Yield the full names a module imports: anywhere, or only what its being loaded imports."""
    pending: list[ast.AST] = [module.tree]
    while pending:
        node = pending.pop()
        if when_loaded and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if when_loaded and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.name.split(".") if node.level else []
            base = base[: len(base) - node.level + module.is_package] if node.level else base
            origin = ".".join((*base, *([node.module] if node.module else [])))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def is_in(name: str, room: str) -> bool:
    """Return whether a module or what it defines belongs to a room."""
    return f"{name}.".startswith(f"{room}.")


def floor_of(name: str) -> int | None:
    """Return the floor of a module, or of a name in one; None where the table has none."""
    rooms = [room for room in FLOORS if is_in(name, room)]
    return FLOORS[max(rooms, key=len)] if rooms else None


def violations(root: Path) -> list[str]:
    """Return the imports of a tree that the house does not allow, and the modules nobody gave a floor."""
    found = []
    for package in PACKAGES:
        for module in modules(root, package):
            if module.is_package:
                # It is loaded before every module in it, so it counts as the lowest of them. What it imports only when
                # asked for a name does not count.
                inside = [floor for room, floor in FLOORS.items() if is_in(room, module.name)]
                own = floor_of(module.name)
                floor = min([*inside, *([] if own is None else [own])], default=None)
                names = list(imports(module, when_loaded=True))
            else:
                floor = floor_of(module.name)
                names = list(imports(module))
            if floor is None:
                found.append(f"{module.name} has no floor; give it one in the table")
                continue
            for name in names:
                above = floor_of(name)
                if above is not None and above > floor:
                    found.append(f"{module.name} (floor {floor}) imports {name} (floor {above})")
                if is_in(name, "dagster") and not any(is_in(module.name, room) for room in DAGSTER_IS_FOR):
                    found.append(f"{module.name} imports {name}")
                found.extend(
                    f"{module.name} imports {name}"
                    for importer, stranger in STRANGERS
                    if is_in(module.name, importer) and is_in(name, stranger)
                )
    return sorted(set(found))


def test_imports_point_down() -> None:
    assert len(modules(ROOT, "connector_resources")) > 10
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "text", "violation"),
    [
        (
            "connector_resources/streams.py",
            "from connector_resources.http.client import Client",
            "connector_resources.streams (floor 0) imports connector_resources.http.client.Client (floor 1)",
        ),
        (
            "connector_resources/http/client.py",
            "def later():\n    from ..resource import Source",
            "connector_resources.http.client (floor 1) imports connector_resources.resource.Source (floor 2)",
        ),
        (
            "connector_resources/http/client.py",
            "import dagster as dg",
            "connector_resources.http.client imports dagster",
        ),
        (
            "connector_resources/sources/aha.py",
            "from dagster import ConfigurableResource",
            "connector_resources.sources.aha imports dagster.ConfigurableResource",
        ),
        (
            "connector_resources/resource.py",
            "def later():\n    import dagster as dg",
            "connector_resources.resource imports dagster",
        ),
        (
            "connector_resources/__init__.py",
            "from connector_resources.api import get_source",
            "connector_resources (floor 0) imports connector_resources.api.get_source (floor 4)",
        ),
        (
            "connector_resources/http/__init__.py",
            "from connector_resources import resource",
            "connector_resources.http (floor 1) imports connector_resources.resource (floor 2)",
        ),
        (
            "connector_resources/sources/aha.py",
            "import connector_resources.destinations.duckdb",
            "connector_resources.sources.aha imports connector_resources.destinations.duckdb",
        ),
        (
            "connector_resources/destinations/duckdb.py",
            "from connector_resources.sources import aha",
            "connector_resources.destinations.duckdb imports connector_resources.sources.aha",
        ),
        (
            "connector_resources/api.py",
            "from orchestration import assets",
            "connector_resources.api imports orchestration.assets",
        ),
        (
            "orchestration/assets.py",
            "from orchestration.definitions import defs",
            "orchestration.assets (floor 4) imports orchestration.definitions.defs (floor 5)",
        ),
        ("connector_resources/new.py", "", "connector_resources.new has no floor; give it one in the table"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, text: str, violation: str) -> None:
    planted = tmp_path / path
    planted.parent.mkdir(parents=True)
    planted.write_text(text)
    assert violations(tmp_path) == [violation]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("connector_resources/__init__.py", "def __getattr__(name):\n    from connector_resources import api"),
        ("connector_resources/resource.py", "from connector_resources.http import client"),
        ("connector_resources/http/client.py", "from . import retry\nfrom ..errors import RequestRejected"),
        ("orchestration/definitions.py", "import dagster\nfrom connector_resources.sources import discover"),
    ],
)
def test_what_the_house_allows_is_not_a_violation(tmp_path: Path, path: str, text: str) -> None:
    allowed = tmp_path / path
    allowed.parent.mkdir(parents=True)
    allowed.write_text(text)
    assert violations(tmp_path) == []


def test_no_modules_import_each_other_in_a_circle_when_they_are_loaded() -> None:
    every = {module.name: module for package in PACKAGES for module in modules(ROOT, package)}
    graph = {}
    for name, module in every.items():
        known = (
            imported if imported in every else imported.rpartition(".")[0]
            for imported in imports(module, when_loaded=True)
        )
        graph[name] = {target for target in known if target in every and target != name}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(every)


def test_the_lower_floors_load_without_dagster_and_pandas() -> None:
    low = [
        module.name
        for module in modules(ROOT, "connector_resources")
        if (floor := floor_of(module.name)) is not None and floor <= 2
    ]
    loaded = loaded_by(*low, "connector_resources.sources.aha", "connector_resources.sources.drift")
    assert {"connector_resources.http.client", "connector_resources.resource"} <= loaded
    assert {"dagster", "pandas", "pyarrow"} & loaded == set()


def test_the_definitions_load_without_pandas_and_the_sandboxs_server() -> None:
    loaded = loaded_by("orchestration.definitions")
    assert "dagster" in loaded
    assert {"pandas", "pyarrow", "uvicorn", "mimesis"} & loaded == set()


def loaded_by(*names: str) -> set[str]:
    """Return the modules that are there after a fresh interpreter has imported the names."""
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )
