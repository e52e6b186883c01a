"""The adapters under examples/ pass the oracle as they stand, run the way their first lines say."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TOPICS = ("target", "first_step", "closed_form", "local_steps")

pytestmark = pytest.mark.full


def oracle_check(*arguments):
    command = [sys.executable, "-m", "locoprop_ref", "oracle", "check", "--strict", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("library, adapter", [("torch", "pytorch_adapter"), ("jax", "jax_adapter")])
def test_a_python_adapter_passes(library, adapter, dtype):
    pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "jax":
        pytest.importorskip("optax", reason="optax is not installed")
    required = [part for topic in ("first_step", "closed_form") for part in ("--topic", topic)]
    if library == "torch":
        required = []
    assert "passed in" in oracle_check("--target", f"examples.{adapter}:target", "--dtype", dtype, *required)


def test_the_jax_adapter_passes_the_topics_that_move_weights():
    pytest.importorskip("jax", reason="jax is not installed")
    pytest.importorskip("optax", reason="optax is not installed")
    topics = [part for topic in ("target", "local_steps", "training") for part in ("--topic", topic)]
    assert "passed in" in oracle_check("--target", "examples.jax_adapter:target", *topics)


def test_the_node_adapter_passes(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    results = tmp_path / "results.json"
    vectors = REPOSITORY / "locoprop_ref" / "oracle" / "vectors"
    subprocess.run(
        [node, REPOSITORY / "examples" / "node_adapter.js", vectors, results], check=True, timeout=60
    )
    output = oracle_check("--results", str(results))
    assert "62 pass" in output


def test_the_cpp_adapter_passes(tmp_path):
    compiler = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler (g++, c++ or clang++) is installed")
    program, results = tmp_path / "cpp_adapter", tmp_path / "results.json"
    source = REPOSITORY / "examples" / "cpp_adapter.cpp"
    subprocess.run([compiler, "-std=c++17", source, "-o", program], check=True, timeout=120)
    vectors = REPOSITORY / "locoprop_ref" / "oracle" / "vectors"
    subprocess.run([program, vectors, results], check=True, timeout=60)
    assert "46 pass" in oracle_check("--results", str(results))
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["one"], ["absent folder", "out.json"]])
def test_the_node_adapter_refuses_bad_arguments(arguments, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, REPOSITORY / "examples" / "node_adapter.js", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
