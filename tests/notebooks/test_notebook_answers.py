"""The code in answers/notebooks.md: every block runs, and prints what the text around it says.

The blocks of section 7 run by themselves. Those of section 8 continue the eighth notebook.
"""

import contextlib
import io
import re
import runpy
import textwrap
from pathlib import Path

import ipywidgets
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
ANSWERS = NOTEBOOKS.parent / "answers" / "notebooks.md"
CONTINUES = "8"  # the section whose blocks use what the notebook has defined


def blocks():
    """[(title of the section, number of the answer, code)]"""
    found = []
    for section in ANSWERS.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        for answer in re.split(r"^(?=\d\. )", body, flags=re.MULTILINE)[1:]:
            for code in re.findall(r"^ *```python\n(.*?)^ *```$", answer, re.DOTALL | re.MULTILINE):
                found.append((title, int(answer[0]), textwrap.dedent(code)))
    return found


BLOCKS = blocks()
ALONE = [block for block in BLOCKS if block[0][0] != CONTINUES]


def run(code, folder):
    """What a block prints; it runs as a program of its own."""
    program, said = folder / "answer.py", io.StringIO()
    program.write_text(code, encoding="utf-8")
    with contextlib.redirect_stdout(said):
        runpy.run_path(str(program))
    return said.getvalue()


def test_the_blocks_are_found():
    for section in "78":
        assert [number for title, number, _ in BLOCKS if title[0] == section] == [1, 2, 3]


def test_every_block_is_closed():
    """Otherwise a page shows the text that follows as code."""
    is_open = False
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        if is_open:
            assert not line.startswith("#") or line.startswith("# "), "a title inside a block"
        if line.lstrip().startswith("```"):
            assert line.lstrip() == ("```" if is_open else "```python")
            is_open = not is_open
    assert not is_open


@pytest.mark.parametrize("block", ALONE, ids=[f"{title[:1]}.{number}" for title, number, _ in ALONE])
def test_the_code_of_an_answer_runs(block, tmp_path):
    assert run(block[2], tmp_path).strip()


def test_the_text_says_what_the_code_prints(tmp_path):
    code = next(code for title, number, code in BLOCKS if (title[0], number) == ("7", 1))
    printed = run(code, tmp_path)
    gamma, length = (float(found) for found in re.findall(r"γ = ([\d.]+).*length ([\d.]+)", printed)[0])
    # "from γ ≈ 4.5 on, where the step has the length 0.26"
    assert 4.25 < gamma < 4.75
    assert 0.255 < length < 0.265


def eighth_notebook():
    """The code of the notebook up to its table, without what its live training measures."""
    text = (NOTEBOOKS / "8-relatives.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    cells = [cell.partition("\nmeasurements =")[0] for cell in cells]
    table = next(i for i, cell in enumerate(cells) if "verify()" in cell)
    return [cell for cell in cells[:table] if "psi_errors" not in cell and "draw_learning" not in cell]


@pytest.mark.full
def test_the_answers_that_continue_the_eighth_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(ipywidgets, "interact", lambda *args, **settings: None)
    answers = [code for title, _, code in BLOCKS if title[0] == CONTINUES]
    program = "\n".join([*eighth_notebook(), *(f"print('answer')\n{code}" for code in answers)])
    _, *printed = run(program, tmp_path).split("answer\n")
    # "With orthogonal weights the loss falls for 0.001, 0.01 and 0.1 and rises for 0.5. With Gaussian weights
    # it already rises for 0.1"
    lines = [line.split() for line in printed[0].splitlines()]
    fell = {(kind, float(gamma)): float(after) < float(before) for kind, gamma, before, after in lines}
    assert [fell["True", gamma] for gamma in (0.001, 0.01, 0.1, 0.5)] == [True, True, True, False]
    assert fell["False", 0.001] and not fell["False", 0.1]
    # "0.35 to 0.56 for β = 0.1, 0.007 to 0.012 for 0.001", numbers of one or two digits
    for line, low, high in zip(printed[2].splitlines(), (0.35, 0.007), (0.56, 0.012), strict=True):
        found = [float(number) for number in re.findall(r"'([\d.]+)'", line)]
        assert min(found) == pytest.approx(low, rel=0.1) and max(found) == pytest.approx(high, rel=0.1)
