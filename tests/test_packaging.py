"""What is installed, pinned, cited and promised agrees with itself; and a skip in CI is a failure."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import ipykernel.kernelspec
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import material
from locoprop_ref.experiments.compare.folder import read_results

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GROUPS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
HASHED = ["core.txt", "test.txt"]


def wanted(requirements: list[str]) -> dict[str, Requirement]:
    """Name -> requirement, with the project's own extras ("locoprop-ref[oracle]") followed."""
    found: dict[str, Requirement] = {}
    for requirement in map(Requirement, requirements):
        if requirement.name == PROJECT["name"]:
            for extra in requirement.extras:
                found |= wanted(PROJECT["optional-dependencies"][extra])
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


def pins(file: str) -> list[tuple[Requirement, int]]:
    """Every pinned requirement of a file with the number of its hashes."""
    text = (REPOSITORY / "requirements" / file).read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split("--hash=sha256:") for line in text.splitlines() if line.strip()]
    return [(Requirement(line[0].strip()), len(line) - 1) for line in lines]


def pinned_version(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not pinned to one version"
    return Version(specifier.version)


# ------------------------------ pyproject.toml, environment.yml, requirements/


def test_python_3_11_is_enough():
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_core_dependency_has_a_lower_bound_only():
    for name, requirement in wanted(PROJECT["dependencies"]).items():
        assert [s.operator for s in requirement.specifier] == [">="], f"{name}: {requirement}"


def test_the_core_needs_no_array_library_but_numpy():
    assert not wanted(PROJECT["dependencies"]).keys() & {
        "torch",
        "jax",
        "jaxlib",
        "optax",
        "cupy",
        "tensorflow",
    }


def test_conda_environment_agrees_with_pyproject():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    listed = wanted([entry for entry in environment["dependencies"] if isinstance(entry, str)])
    python = listed.pop("python")
    assert str(python.specifier) == PROJECT["requires-python"]
    assert listed.pop("pip").specifier == Requirement("pip").specifier
    expected = wanted(
        PROJECT["dependencies"] + PROJECT["optional-dependencies"]["notebooks"] + GROUPS["build"]
    )
    assert {name: str(r.specifier) for name, r in listed.items()} == {
        name: str(r.specifier) for name, r in expected.items()
    }
    # every name is one of pip's index: requirements/test.txt was resolved there
    assert listed.keys() <= {canonicalize_name(r.name) for r, _ in pins("test.txt")}


def test_conda_environment_holds_what_the_project_promises():
    """pytest, what `oracle` and `tune` need, and CuPy where it has wheels; it can be left out."""
    text = (REPOSITORY / "environment.yml").read_text(encoding="utf-8")
    (lines,) = [entry["pip"] for entry in yaml.safe_load(text)["dependencies"] if isinstance(entry, dict)]
    project, cupy = lines
    extras = re.fullmatch(r"--editable \.\[([a-z,]+)\]", project)[1].split(",")
    assert set(extras) <= PROJECT["optional-dependencies"].keys()
    brought = wanted([f"{PROJECT['name']}[{','.join(extras)}]"])
    assert {"pytest", "optuna", "mpmath", "jsonschema"} <= brought.keys()
    assert brought.keys() <= {canonicalize_name(r.name) for r, _ in pins("test.txt")}
    cupy = Requirement(cupy)
    (same,) = map(Requirement, PROJECT["optional-dependencies"]["cuda12"])
    assert (cupy.name, cupy.specifier) == (same.name, same.specifier)
    platforms = {name: cupy.marker.evaluate({"sys_platform": name}) for name in ("linux", "win32", "darwin")}
    assert platforms == {"linux": True, "win32": True, "darwin": False}
    assert "leave it out by deleting this line" in text.partition("cupy-cuda12x")[0].splitlines()[-2]


@pytest.mark.parametrize("file", HASHED)
def test_every_requirement_is_pinned_with_a_hash(file):
    found = pins(file)
    assert len(found) > 5
    for requirement, hashes in found:
        pinned_version(requirement)
        assert hashes >= 1, f"{file}: {requirement} has no hash"


@pytest.mark.parametrize(
    ("file", "requirements"),
    [
        ("core.txt", PROJECT["dependencies"] + GROUPS["build"]),
        (
            "test.txt",
            PROJECT["dependencies"]
            + GROUPS["build"]
            + PROJECT["optional-dependencies"]["test"]
            + PROJECT["optional-dependencies"]["dev"],
        ),
    ],
)
@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0", "3.14.0"])
def test_pins_satisfy_pyproject_on_every_python(file, requirements, python):
    environment = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    chosen = {
        canonicalize_name(r.name): pinned_version(r)
        for r, _ in pins(file)
        if r.marker is None or r.marker.evaluate(environment)
    }
    for name, requirement in wanted(requirements).items():
        assert name in chosen, f"{file} lacks {name} for Python {python}"
        assert requirement.specifier.contains(chosen[name]), (
            f"{file}: {name} {chosen[name]}, wanted {requirement}"
        )


def test_the_core_pins_are_those_of_the_tests():
    core, test = ({str(requirement) for requirement, _ in pins(file)} for file in HASHED)
    assert core <= test


def test_other_array_libraries_are_pinned_apart_from_the_hashed_requirements():
    other = {canonicalize_name(r.name): pinned_version(r) for r, _ in pins("other-libraries.txt")}
    assert {"torch", "jax", "jaxlib", "optax"} <= other.keys()
    for file in HASHED:
        assert not other.keys() & {canonicalize_name(r.name) for r, _ in pins(file)}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "requirements").iterdir()), ids=lambda path: path.name)
def test_no_address_host_or_path_in_the_requirements(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        assert not re.search(r"://|\bwww\.|\.(com|org|net|io)\b|\bfile:|@ |(^|[\s=])[/~]", line), (
            f"{path.name}:{number}: {line}"
        )
        assert not re.match(r"\s*-(?!-hash=sha256:[0-9a-f]{64}\b)", line), f"{path.name}:{number}: {line}"


# ------------------------------ licence, citation, Makefile, .ci/run


def test_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Amid", "Anil", "Warmuth"]
    assert paper["identifiers"][0]["value"] == "arXiv:2106.06199"


def test_changelog_has_this_version():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(PROJECT['version'])}\]", changelog, flags=re.MULTILINE)


def test_licence_is_apache_2():
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert re.match(r"\s*Apache License\s+Version 2\.0, January 2004", text)
    assert "END OF TERMS AND CONDITIONS" in text
    assert "Copyright 2026 the locoprop-ref authors" in text


def test_ci_script_is_executable_and_runs_both_test_targets():
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test test-all"
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(
        r"^test-all: test\b", makefile, flags=re.MULTILINE
    )  # the quick tests, then the long ones


def test_every_make_target_has_help():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY:(.*)$", makefile, flags=re.MULTILINE)[1].split())
    assert {"help", "demo", "test", "test-all"} <= targets
    rules = set(re.findall(r"^([a-z][a-z-]*)\s*:(?!=)", makefile, flags=re.MULTILINE))
    assert rules == targets, "a target that is no file is declared .PHONY"
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    helped = dict(re.findall(r"^make (\S+) +(\S.*)$", shown.stdout, flags=re.MULTILINE))
    assert helped.keys() == targets


@pytest.mark.parametrize(
    ("version", "refused"), [((3, 10, 20), True), ((3, 11, 0), False), ((3, 14, 0), False)]
)
def test_make_says_what_it_needs_when_python_is_too_old(tmp_path, version, refused):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    # A Python of another age: answers `-c CODE` as if it had this version, and fails at all else (`-m venv`).
    python = tmp_path / "python"
    code = f"import sys; sys.version_info = {version}; $2"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || exit 3\nexec "{sys.executable}" -c "{code}"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    command = ["make", "setup", f"PYTHON={python}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert ("locoprop-ref needs Python 3.11 or newer" in run.stderr) == refused
    assert not (tmp_path / ".venv").exists()


# ------------------------------ importing the package


def test_importing_the_package_imports_no_heavy_library():
    code = "import locoprop_ref, sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "locoprop_ref" in loaded
    assert not loaded & {"cupy", "torch", "jax", "matplotlib", "scipy"}


# ------------------------------ outside of the repository


@pytest.fixture(scope="module")
def setup_script():
    return runpy.run_path(str(REPOSITORY / "setup.py"), run_name="setup_script")


@pytest.mark.parametrize(
    ("text", "without", "with_address"),
    [
        (
            "see [the map](docs/map.md).",
            "see the map (`docs/map.md`).",
            "see [the map](A/blob/main/docs/map.md).",
        ),
        ("[docs/map.md](docs/map.md)", "docs/map.md", "[docs/map.md](A/blob/main/docs/map.md)"),
        ("![A loss.](figures/a.png)", "*Figure: A loss.*", "![A loss.](A/raw/main/figures/a.png)"),
        ("[out](https://b.c/d)", "[out](https://b.c/d)", "[out](https://b.c/d)"),
    ],
)
def test_links_of_the_installed_readme(setup_script, text, without, with_address):
    assert setup_script["readme"](text, "") == without
    assert setup_script["readme"](text, "A") == with_address


def test_no_link_of_the_installed_readme_leads_into_the_repository(setup_script):
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"\]\((?!\w+://)", text)) > 20
    assert re.findall(r"\]\((?!\w+://)", setup_script["readme"](text, "")) == []
    completed = setup_script["readme"](text, "https://example.invalid/p")
    assert re.findall(r"\]\((?!https://example.invalid/p/(blob|raw)/main/)", completed) == []


def test_what_is_built_into_the_package_is_what_is_copied(setup_script):
    assert setup_script["MATERIAL"] == material._PARTS
    fewest = {"answers": 1}
    for part, kind in material._PARTS.items():
        assert len(list((REPOSITORY / part).glob(kind))) >= fewest.get(part, 4)


def test_notebooks_are_copied_and_a_changed_copy_stays(tmp_path, capsys, monkeypatch):
    """Autosave changes a copy, not the clone; the second time nothing is lost."""
    monkeypatch.setattr(material, "_PARTS", {"notebooks": "[59]-*.ipynb", "results": "curves/c*.json"})
    first = tmp_path / "lab" / "notebooks" / "5-deep-autoencoder.ipynb"
    assert cli.main(["notebooks", "--out", str(tmp_path / "lab")]) == 0
    original = (REPOSITORY / "notebooks" / first.name).read_bytes()
    assert first.read_bytes() == original
    first.write_text("mine", encoding="utf-8")
    first.with_name("9-convolution.ipynb").unlink()
    capsys.readouterr()
    assert cli.main(["notebooks", "--out", str(tmp_path / "lab")]) == 0
    assert first.read_text(encoding="utf-8") == "mine"
    assert re.match(r"1 files written to .*; \d+ that exist stay as they are", capsys.readouterr().out)
    assert cli.main(["notebooks", "--out", str(tmp_path / "lab"), "--overwrite"]) == 0
    assert first.read_bytes() == original
    status = cli.main(["notebooks", "--out", str(REPOSITORY), "--overwrite"])
    assert (status, "out must be another folder" in capsys.readouterr().err) == (2, True)


def test_an_installation_without_notebooks_says_so(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"^notebooks must be part of the installed package, got none"
    ):
        material.material_folder(tmp_path / "locoprop_ref")


def test_make_lab_works_on_a_copy():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lab:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)[1]
    assert "book/lab.py" in recipe and "notebooks --out build/lab" in recipe
    assert "jupyter lab build/lab/notebooks" in recipe
    assert "/build/" in (REPOSITORY / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_kernelspecs_are_what_jupyterlab_writes():
    """Of another kernel's name it would write its own, and mark the notebook as changed."""
    wanted = ipykernel.kernelspec.get_kernel_dict()["display_name"]
    files = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
    assert len(files) > 5
    for path in files:
        spec = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]
        assert spec == {"display_name": wanted, "language": "python", "name": "python3"}, path.name


@pytest.mark.full
def test_a_wheel_does_what_the_readme_says(tmp_path):
    """Built from a copy, installed into a folder of its own, and run from elsewhere."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "build", "figures", "__pycache__", "tests", "benchmarks")
    shutil.copytree(REPOSITORY, source, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    build = ["wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, *build, str(source)], check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-index", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    metadata = next((tmp_path / "site").glob("*.dist-info")) / "METADATA"
    assert "](docs/" not in metadata.read_text(encoding="utf-8")
    away = tmp_path / "away"
    away.mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "MPLBACKEND": "Agg"}

    def program(*arguments: str) -> str:
        command = [sys.executable, "-m", "locoprop_ref", *arguments]
        run = subprocess.run(
            command, cwd=away, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return run.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import locoprop_ref; print(locoprop_ref.__file__)"], cwd=away,
        env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(tmp_path / "site")
    program("notebooks", "--out", "lab")
    assert (away / "lab" / "notebooks" / "1-first-step-is-backprop.ipynb").is_file()
    assert len(list((away / "lab" / "results").rglob("comparison.json"))) > 3
    assert (away / "lab" / "examples" / "locoprop_in_100_lines.py").is_file()
    # notebook 5 draws the results that are beside it
    assert read_results(away / "lab" / "results" / "curves").manifest.entries
    assert f"locoprop-ref {PROJECT['version']}, Python " in program("info")


# ------------------------------ a skip in CI is a failure

SKIPS = """
import pytest

def test_that_passes():
    pass

@pytest.mark.parametrize("reason", {reasons!r}, ids=str)
def test_that_skips(reason):
    pytest.skip(reason)
"""
TORCH, JAX = "torch is not installed", "could not import 'jax.numpy': No module named 'jax'"
GPU, MNIST = "no GPU (cupy is not installed)", "no MNIST files (set LOCOPROP_REF_DATA)"


def run_with_skips(
    folder: Path, *reasons: str, workers: int = 0, **environment: str
) -> subprocess.CompletedProcess:
    """Run tests that skip for these reasons, under this project's conftest.py, in a folder of their own."""
    for name in ("conftest.py", "helpers/backends.py", "helpers/nothing_tested.py"):
        shutil.copy(Path(__file__).parent / name, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = full\n", encoding="utf-8")
    (folder / "test_skip.py").write_text(SKIPS.format(reasons=reasons), encoding="utf-8")
    inherited = {k: v for k, v in os.environ.items() if k not in {"CI", "LOCOPROP_REF_NOT_INSTALLED"}}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", str(workers), "test_skip.py"],
        cwd=folder, env=inherited | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reasons", "environment"),
    [
        ([TORCH, "anything"], {}),
        ([TORCH, "anything"], {"CI": "false"}),
        ([GPU], {"CI": "true"}),
        ([GPU, TORCH, JAX, MNIST], {"CI": "true", "LOCOPROP_REF_NOT_INSTALLED": "jax torch mnist"}),
    ],
)
@pytest.mark.full
def test_skips_are_accepted(tmp_path, reasons, environment):
    run = run_with_skips(tmp_path, *reasons, **environment)
    assert run.returncode == 0, run.stdout
    assert f"1 passed, {len(reasons)} skipped" in run.stdout


@pytest.mark.parametrize(
    ("refused", "accepted", "not_installed", "workers"),
    [
        ([TORCH], [], "", 0),
        ([TORCH], [JAX], "jax", 0),
        ([JAX, MNIST, "too slow today"], [GPU, TORCH], "torch", 2),
    ],
)
@pytest.mark.full
def test_a_skip_in_ci_is_a_failure(tmp_path, refused, accepted, not_installed, workers):
    """With the tests in one process and in several."""
    environment = {"CI": "true", "LOCOPROP_REF_NOT_INSTALLED": not_installed}
    run = run_with_skips(tmp_path, *refused, *accepted, workers=workers, **environment)
    assert run.returncode == 1, run.stdout
    listed = run.stdout.partition("skipped, which is a failure with CI=true")[2]
    for reason in refused:
        assert f"test_skip.py::test_that_skips[{reason}]: {reason}\n" in listed
    for reason in accepted:
        assert reason not in listed
