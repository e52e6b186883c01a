"""The code in answers/notebooks.md: every block runs, and prints what the text around it says.

Most blocks run by themselves. Those of sections 5 and 8 continue their notebook: that of section 5 needs its
runs, and gets short ones here whose answer is known.
"""

import contextlib
import io
import math
import re
import runpy
import textwrap
from pathlib import Path

import ipywidgets
import pytest

from locoprop_ref.plot.one_unit import minimizers

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
ANSWERS = NOTEBOOKS.parent / "answers" / "notebooks.md"
CONTINUES = "58"  # the sections whose blocks use what the notebook has defined


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
ALONE = [block for block in BLOCKS if block[0][0] not in CONTINUES]
# what the texts say, as their code prints it
SAID = {
    "1": "2.44 first steps, 32.1 degrees",
    "2": "tanh       2.326 1.841",
    "4": "-33.3, 1002.5, -997.5, 1002.5, -997.5, 1002.5\nwith a line search: 0.0025",
    "6": "numpy: 0.00000000, 0.43378083, 999.30685282",
}


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
    for section in "123456":
        assert [number for title, number, _ in BLOCKS if title[0] == section] == [4]


def code_of(section, number):
    return next(code for title, n, code in BLOCKS if (title[0], n) == (section, number))


def numbers_in(text):
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)]


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


def test_seven_one_says_what_its_code_prints(tmp_path):
    code = code_of("7", 1)
    printed = run(code, tmp_path)
    gamma, length = (float(found) for found in re.findall(r"γ = ([\d.]+).*length ([\d.]+)", printed)[0])
    # "from γ ≈ 4.5 on, where the step has the length 0.26"
    assert 4.25 < gamma < 4.75
    assert 0.255 < length < 0.265


@pytest.mark.parametrize("section", SAID)
def test_the_text_says_what_the_code_prints(section, tmp_path):
    assert SAID[section] in run(code_of(section, 4), tmp_path)


def test_what_is_equal_up_to_rounding(tmp_path):
    # a few roundings of numbers of size 1
    assert numbers_in(run(code_of("1", 4), tmp_path))[0] < 1e-14
    losses = {line.split()[0]: numbers_in(line) for line in run(code_of("2", 4), tmp_path).splitlines()}
    assert len(losses) == 8 and all(error < 1e-14 for _, _, error in losses.values())
    assert losses["relu"][:2] == [2, 0.5]
    assert [name for name, (loss, exchanged, _) in losses.items() if loss == exchanged] == ["identity"]
    # the condition of the system is about 1e2
    difference, count, zero, next_one, step, again, along = numbers_in(run(code_of("3", 4), tmp_path))
    assert difference < 1e-12 and count == again == 71
    assert zero < 1e-11 * next_one and along < 1e-11 * step


def test_log_cosh_on_every_library_that_is_installed(tmp_path):
    expected = [0.0, math.log(math.cosh(1)), 1000 - math.log(2)]  # from 20 on cosh a is half of exp a
    lines = [line for line in run(code_of("6", 4), tmp_path).splitlines() if "skipped" not in line]
    assert lines
    for line in lines:
        # JAX has 32 bits: 7 digits
        assert numbers_in(line.partition(":")[2]) == pytest.approx(expected, rel=3e-7, abs=1e-7)


def test_a_saturated_unit_as_the_fourth_notebook_asks():
    # "for â₀ ≤ 0.97", "nearly ½log(1 + 2γv), here 1.10"
    assert minimizers(0.97, 20.0)[1] == -math.inf and minimizers(0.98, 20.0)[1] > -math.inf
    assert 5 - minimizers(5.0, 20.0)[1] == pytest.approx(1.10, abs=5e-3)


RUNS = """
mean_image, runs = 3.0, {}
for name, time, losses in (("slow", 5.0, (9, 2, 1)), ("fast", 1.0, (9, 4, 3, 2))):
    rows = [{"train": {"ce": loss}, "step_seconds": time * (n > 0)} for n, loss in enumerate(losses)]
    runs[name] = {"epochs": rows}
"""


def test_the_answer_that_continues_the_fifth_notebook(tmp_path):
    text = (NOTEBOOKS / "5-deep-autoencoder.md").read_text(encoding="utf-8")
    seconds = re.findall(r"^def seconds\(.*?^    return .*?$", text, re.DOTALL | re.MULTILINE)
    printed = run("\n".join([*seconds, RUNS, code_of("5", 4)]), tmp_path)
    assert printed.splitlines() == [
        "slow: after epoch 1, 5.00 s",
        "fast: after epoch 3, 3.00 s",
        "by epochs: slow, fast",
        "by seconds: fast, slow",
    ]


def eighth_notebook():
    """The code of the notebook up to its table, without what its live training measures."""
    text = (NOTEBOOKS / "8-relatives.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    cells = [cell.partition("\nmeasurements =")[0] for cell in cells]
    table = next(i for i, cell in enumerate(cells) if "verify()" in cell)
    live = ("psi_errors", "draw_learning")
    return [imports_of(cell) if any(word in cell for word in live) else cell for cell in cells[:table]]


def imports_of(cell):
    """The imports of a cell, which the cells after it need, too."""
    return "".join(f"{line}\n" for line in cell.splitlines() if line.startswith(("import ", "from ")))


@pytest.mark.full
def test_the_answers_that_continue_the_eighth_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(ipywidgets, "interact", lambda *args, **settings: None)
    answers = [code for title, _, code in BLOCKS if title[0] == "8"]
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
