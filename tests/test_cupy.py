"""What a machine without a GPU can show of CuPy: its lines run on a stand-in, and steps never wait for it."""

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from backends import OPEN
from bridge import draw
from cupy_signatures import refusal
from numpy.testing import assert_array_equal
from positions import NETWORKS, of

from locoprop_ref import METHODS, method
from locoprop_ref import backend as doors
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.parallel import side_by_side

# a stand-in for CuPy ------------------------------------------------------------------------------


class Log(list):
    """What was asked of the stand-in, in order."""


class Stream:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def record(self):
        self.log.append(f"{self.name} records")
        return f"event of {self.name}"

    def wait_event(self, event):
        self.log.append(f"{self.name} waits for {event}")

    def __enter__(self):
        self.log.append(f"enter {self.name}")
        return self

    def __exit__(self, *_):
        self.log.append(f"leave {self.name}")


class StandIn(np.ndarray):
    """An array that is "on the device": it comes to the host by `get` alone."""

    device = None  # set by the fixture

    def get(self):
        return np.array(self)


@pytest.fixture
def cupy(monkeypatch):
    log, numbers = Log(), iter(range(1, 99))
    StandIn.device = SimpleNamespace(synchronize=lambda: log.append("synchronize"))
    pool = SimpleNamespace(
        total_bytes=lambda: np.int64(300), used_bytes=lambda: np.int64(100),
        free_all_blocks=lambda: log.append("free"),
    )  # fmt: skip
    error = type("CUDARuntimeError", (RuntimeError,), {})
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 0, CUDARuntimeError=error,
        getDeviceProperties=lambda device: {"name": f"GPU {device}".encode()},
    )  # fmt: skip
    cuda = SimpleNamespace(
        runtime=runtime, Device=lambda: SimpleNamespace(id="of test_cupy"),
        get_current_stream=lambda: Stream(log, "current"),
        Stream=lambda non_blocking: Stream(log, f"stream {next(numbers)}"),
    )  # fmt: skip
    module = SimpleNamespace(
        ndarray=StandIn, cuda=cuda, log=log, get_default_memory_pool=lambda: pool,
        zeros=lambda n: np.zeros(n).view(StandIn),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr("array_api_compat.is_cupy_array", lambda array: isinstance(array, StandIn))
    return module


def test_an_array_comes_to_the_host(cupy):
    array = np.arange(3.0).view(StandIn)
    host = doors.to_numpy(array)
    assert type(host) is np.ndarray
    assert_array_equal(host, [0, 1, 2])


def test_a_clock_waits_for_the_device(cupy):
    doors.synchronize(cupy.zeros(2))
    assert cupy.log == ["synchronize"]


def test_the_device_has_a_name_and_a_pool(cupy):
    assert doors.describe_device(cupy) == "GPU of test_cupy"
    assert (doors.device_bytes(cupy), doors.free_device_reserve(cupy)) == (300, 100)
    assert cupy.log == ["free"]
    host = SimpleNamespace(zeros=np.zeros)
    assert doors.device_bytes(host) is doors.free_device_reserve(host) is None


def test_no_gpu_is_one_sentence(cupy):
    for count in (lambda: 0, raises(cupy.cuda.runtime.CUDARuntimeError)):
        cupy.cuda.runtime.getDeviceCount = count
        with pytest.raises(ValueError, match="backend 'cupy' needs an NVIDIA GPU with a working driver"):
            doors.namespace("cupy")


def raises(error):
    def fail():
        raise error("no driver")

    return fail


def test_layers_run_on_streams_that_wait_for_what_came_before_and_are_waited_for(cupy):
    work = [lambda: cupy.log.append("small"), lambda: cupy.log.append("large") or "done"]
    assert side_by_side(work, [1, 2], like=cupy.zeros(1)) == [None, "done"]
    names = [line.removeprefix("enter ") for line in cupy.log if line.startswith("enter ")]
    assert len(set(names)) == 2
    assert cupy.log[0] == "current records"
    for lines, name, task in ((cupy.log[1:7], names[0], "large"), (cupy.log[7:], names[1], "small")):
        assert lines == [
            f"enter {name}", f"{name} waits for event of current", task, f"{name} records",
            f"current waits for event of {name}", f"leave {name}",
        ]  # fmt: skip


# a step does not wait for the device ---------------------------------------------------------------

TO_NUMBERS = ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__", "to_device")


@pytest.fixture
def conversions(monkeypatch):
    """How often an array of array-api-strict became a number of Python, or left its device."""
    strict, counts = OPEN["array-api-strict"](), Counter()
    kind = type(strict.asarray([1.0]))

    def counting(name, convert):
        def counted(self, *arguments, **keywords):
            counts[name] += 1
            return convert(self, *arguments, **keywords)

        return counted

    for name in TO_NUMBERS:
        monkeypatch.setattr(kind, name, counting(name, getattr(kind, name)))
    return strict, counts


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", METHODS)
def test_a_step_converts_nothing_to_python_numbers(conversions, name, network):
    """Newton does: its number of steps depends on the numbers."""
    strict, counts = conversions
    net, x, t, _ = of(network, strict)
    ours = method(name)
    dense_alone = ("admm", "tp", "dtp")
    if name in dense_alone or (name in ("am", "am-mem", "mac") and network == "recurrent"):
        with pytest.raises(ValueError, match=r"^network must have"):
            ours.init(net)
        return
    state = ours.init(net)
    counts.clear()
    ours.step(net, state, x, t)
    if name == "locoprop-m-exact":
        assert counts["__float__"] >= len(net.layers) and set(counts) <= {"__float__", "__bool__"}
    elif name == "mac":  # which halves a step until its objective does not rise
        assert set(counts) == {"__bool__"}
    else:
        assert not counts


@pytest.mark.parametrize("name", ["tp", "dtp", "admm"])
def test_a_step_of_a_dense_network_converts_nothing_to_python_numbers(conversions, name):
    """Of the methods that take no others."""
    strict, counts = conversions
    net, x, t = draw(strict, ("relu", "identity", "squared_error"))
    ours = method(name)
    state = ours.init(net)
    counts.clear()
    ours.step(net, state, x, t)
    assert not counts


def test_diagnostics_convert_four_numbers_a_layer(conversions):
    """Asked for, they are reported as numbers: the count sees conversions where there are some."""
    strict, counts = conversions
    net, x, t, _ = of("mean", strict)
    ours = LocoProp("matching", diagnose=True)
    state = ours.init(net)
    counts.clear()
    ours.step(net, state, x, t)
    assert counts["__float__"] >= 4 * len(net.layers)


# calls and CuPy's signatures -----------------------------------------------------------------------


def call(name, *positional, **keywords):
    return {"name": name, "positional": list(positional), "keywords": keywords}


NAMESPACE = SimpleNamespace(
    take=lambda a, indices, axis=None, out=None: None,
    zeros=lambda shape, *, dtype=None, **kwargs: None,
    tanh=SimpleNamespace(types=["e->e", "f->f", "d->d"], nin=1),
    where=lambda condition, x=None, y=None: None,
    linalg=SimpleNamespace(solve=lambda a, b: None),
    float32="f",
    float64="d",
    int32="i",
)  # fmt: skip


@pytest.mark.parametrize(
    "good",
    [
        call("take", "float64", "int32", axis="int"),
        call("zeros", "int", dtype="DType"),
        call("tanh", "float32"),
        call("linalg.solve", "float64", "float64"),
        call("where", ["bool"], "float64", "float"),
    ],
)
def test_a_call_that_cupy_accepts(good):
    assert refusal(good, NAMESPACE) is None


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (call("cumulative_sum", "float64"), "cumulative_sum does not exist"),
        (call("linalg.inv", "float64"), "linalg.inv does not exist"),
        (call("take", "float64", "int32", mode="str"), "unexpected keyword argument 'mode'"),
        (call("take", "float64"), "missing a required argument: 'indices'"),
        (call("zeros", "int", order="str"), "nothing says that it takes order"),
        (call("tanh", "float64", "float64"), "takes 1 arrays, got 2"),
        (call("tanh", "float64", where="bool"), "does not take where"),
        (call("take", "int64", "int32"), "there is no dtype int64"),
    ],
)
def test_a_call_that_cupy_would_refuse(bad, words):
    assert words in refusal(bad, NAMESPACE)


def test_a_dtype_that_a_ufunc_does_not_take():
    only_single = SimpleNamespace(tanh=SimpleNamespace(types=["f->f"], nin=1), float64="d")
    assert "has no form for float64" in refusal(call("tanh", "float64"), only_single)
