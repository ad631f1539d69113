"""Notebooks of examples/: every cell runs, in order, in a fresh folder, without an account."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.landing import ROOT, child, said

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

KERNEL = """
import ast, json, sys

shown = {}
for name, text in json.loads(sys.argv[1]):
    tree = ast.parse(text, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), globals())
    if last is not None:
        value = eval(compile(ast.Expression(last.value), name, "eval"), globals())
        if value is not None:
            shown[name] = repr(value)
print("shown:", json.dumps(shown))
"""
"""Runs the cells in one namespace and keeps what a notebook would show of each; its last line is JSON of that."""


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    """Return the cells of a kind."""
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == kind]


def run(notebook: Path) -> tuple[str, dict[str, str]]:
    """Run a notebook and return what it prints to stdout, and what it shows of each cell that ends in a value."""
    code = [(cell["id"], "".join(cell["source"])) for cell in cells(notebook, "code")]
    printed, _, shown = said(child(KERNEL, json.dumps(code))).rpartition("shown: ")
    return printed, json.loads(shown)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_what_it_printed(notebook: Path) -> None:
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells(notebook, "code")] == [
        ([], None) for _ in cells(notebook, "code")
    ]
    text = notebook.read_text()
    assert json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n" == text


def test_the_first_steps_run_from_end_to_end(desk: Path) -> None:
    printed, shown = run(ROOT / "examples" / "first_steps.ipynb")
    assert "products, users, product_users" in printed
    assert re.fullmatch(r"ReadResult\(\d+ records of ideas, idea_comments, features\)", shown["read"])
    assert "workflow_status" in shown["pandas"]
    statuses = ast.literal_eval(shown["sql"])
    ideas = sum(row["ideas"] for row in statuses)
    assert f"0 records read, {ideas} ideas there" in printed
    assert ast.literal_eval(shown["later"])["ideas"] == ideas > 10
    assert re.search(r"(?m)^# \w+", printed)
    assert ast.literal_eval(shown["documents"])["stream"] == "ideas"
    votes = [int(line.split()[0]) for line in printed.splitlines() if re.match(r"\d+ [A-Z]", line)]
    assert 0 < len(votes) < ideas
    assert min(votes) >= 40
    assert sorted(path.name for path in Path("data/csv").iterdir()) == [
        "features.csv",
        "idea_comments.csv",
        "ideas.csv",
    ]


def test_the_first_steps_are_linked_to() -> None:
    for page in ("README.md", "docs/python_api.md", "docs/migrate_from_pyairbyte.md"):
        assert "examples/first_steps.ipynb)" in (ROOT / page).read_text()
