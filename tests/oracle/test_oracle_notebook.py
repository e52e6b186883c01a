"""The notebook runs, its assertions hold, and it prints what it is stored with."""

import json
import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "check-your-implementation.ipynb"
MARK = "--- end of cell ---"


def test_the_notebook_prints_what_it_shows(tmp_path):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    script = tmp_path / "notebook.py"
    script.write_text("".join("".join(c["source"]) + f"\nprint({MARK!r})\n" for c in code), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = ["".join(text for output in c["outputs"] for text in output["text"]) for c in code]
    assert done.stdout.split(f"{MARK}\n") == [*shown, ""]
