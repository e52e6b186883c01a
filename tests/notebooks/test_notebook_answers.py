"""The code in answers.md: every block runs by itself, and says what the text around it says."""

import contextlib
import io
import re
import runpy
import textwrap
from pathlib import Path

import pytest

ANSWERS = Path(__file__).resolve().parents[2] / "notebooks" / "answers.md"


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


def run(code, folder):
    """What a block prints; it runs as a program of its own."""
    program, said = folder / "answer.py", io.StringIO()
    program.write_text(code, encoding="utf-8")
    with contextlib.redirect_stdout(said):
        runpy.run_path(str(program))
    return said.getvalue()


def test_the_blocks_are_found():
    assert [number for title, number, _ in BLOCKS if title.startswith("7.")] == [1, 2, 3]


@pytest.mark.parametrize("block", BLOCKS, ids=[f"{title[:1]}.{number}" for title, number, _ in BLOCKS])
def test_the_code_of_an_answer_runs(block, tmp_path):
    assert run(block[2], tmp_path).strip()


def test_the_text_says_what_the_code_prints(tmp_path):
    code = next(code for title, number, code in BLOCKS if (title[0], number) == ("7", 1))
    printed = run(code, tmp_path)
    gamma, length = (float(found) for found in re.findall(r"γ = ([\d.]+).*length ([\d.]+)", printed)[0])
    # "from γ ≈ 4.5 on, where the step has the length 0.26"
    assert 4.25 < gamma < 4.75
    assert 0.255 < length < 0.265
