"""Every command of the README, in its order: run here, or by the test that is named for it."""

import re
import shlex
from functools import partial
from pathlib import Path

import pytest

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import demo

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")

# command → the test that runs it, and what it is called there
ELSEWHERE = {
    "make demo": ("tests/test_readme.py", "def test_the_commands_of_the_readme("),  # its recipe is our `demo`
    "make test": ("tests/test_packaging.py", "def test_ci_script_is_executable_and_runs_both_test_targets("),
    "locoprop-ref train --preset paper --epochs 3 --data-dir FOLDER": (
        "tests/data/test_mnist.py", '"--preset", "paper", "--epochs"'
    ),
    "locoprop-ref compare --preset quick": (
        "tests/experiments/compare/test_compare_run.py", "def test_the_quick_preset("
    ),
}  # fmt: skip


def commands():
    """[(command, its comment)] of the indented lines."""
    lines = re.findall(r"^    ((?:make|locoprop-ref) [^#\n]*)(?:# (.*))?$", README, flags=re.MULTILINE)
    return [(command.strip(), comment) for command, comment in lines]


def runs_here():
    """What is run, one epoch of it where the README says how many."""
    here = [command for command, _ in commands() if command not in ELSEWHERE]
    return [re.sub(r"--epochs \d+", "--epochs 1", command) for command in here]


def test_every_command_has_its_time_and_its_test():
    assert len(commands()) == 9
    for command, comment in commands():
        assert re.match(r"\d+ (minutes?|s)\b", comment), command
    assert ELSEWHERE.keys() <= {command for command, _ in commands()}
    for path, words in ELSEWHERE.values():
        assert words in (REPOSITORY / path).read_text(encoding="utf-8"), path


def test_the_place_of_the_program_stands_before_the_first_command():
    first = README.index("    make demo")
    assert README.index("`.venv/bin/locoprop-ref`") < README.index("`source .venv/bin/activate`") < first


def test_make_demo_is_the_command_demo():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo:.*\n\t\$\(VENV\)/bin/locoprop-ref demo$", makefile, flags=re.MULTILINE)


@pytest.mark.full
def test_the_commands_of_the_readme(tmp_path, monkeypatch, capsys):
    """One after the other in one folder, as a reader types them, but with one epoch of every run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "configs", partial(demo.configs, epochs=1))
    for command in ["locoprop-ref demo", *runs_here()]:
        words = shlex.split(command)[1:]
        if "runs/*.json" in words:  # what a shell does
            words[words.index("runs/*.json") : words.index("runs/*.json") + 1] = map(
                str, sorted(Path("runs").glob("*.json"))
            )
        status = cli.main(words)
        assert (command, status, capsys.readouterr().err) == (command, 0, "")
    names = sorted(path.name for path in Path("runs").glob("*.json"))
    assert len(names) == 2 and all(name.startswith(("locoprop-m-curves", "kfac-curves")) for name in names)
    assert Path("runs.svg").is_file()
