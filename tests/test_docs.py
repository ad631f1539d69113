import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_of_what_is_read_is_what_the_connectors_declare() -> None:
    check = subprocess.run(
        [sys.executable, "docs/make_coverage.py", "--check"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert check.returncode == 0, "Run python docs/make_coverage.py and look at what has changed."
