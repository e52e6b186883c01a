"""Layers side by side give the bits of layers in order; errors carry over; the Gram form."""

import itertools
import sys
import threading
import warnings
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import Descend, LocalProblem, LocoProp, initialize, method, optimizer, parallel, transfer
from locoprop_ref import backend as arrays
from locoprop_ref.backend import solve_positive_definite
from locoprop_ref.methods import base
from locoprop_ref.network import backward, forward
from locoprop_ref.parallel import side_by_side
from locoprop_ref.solvers import gram_gradient, prefers_gram

SIZES = (150, 220, 60, 220, 150)


def network_and_batch(dtype="float32"):
    transfers = ["tanh", "relu", "tanh", "sigmoid"]
    network = initialize(SIZES, transfers=transfers, output_loss="sigmoid_cross_entropy", dtype=dtype)
    return network, np.random.default_rng(3).random((200, SIZES[0])).astype(dtype)


# costs above the size from which threads are used
LARGE = (1e9, 4e9, 2e9, 3e9)


def test_a_layer_costs_a_multiplication_for_each_weight_and_row(monkeypatch):
    """By these numbers it is decided whether threads pay, and which layer is the first."""
    seen = []
    monkeypatch.setattr(base, "side_by_side", lambda tasks, costs, like: seen.extend(costs))
    network, _ = network_and_batch()
    base.run_layers([lambda: None] * 4, network, (2, 3, 5, 7), True)
    assert seen == [2 * 150 * 220, 3 * 220 * 60, 5 * 60 * 220, 7 * 220 * 150]


def one_blas_thread():
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def assert_same_network(got, wanted):
    for one, other in zip(got.layers, wanted.layers, strict=True):
        assert_array_equal(one.W, other.W, strict=True)
        assert_array_equal(one.b, other.b, strict=True)


def layer_tasks(name, network, x):
    """The tasks of a LocoProp step, built once, so that both orders begin with the same bits."""
    how = method(name)
    trace = forward(network, x)
    parts = zip(network.layers, trace.x, trace.a_hat, trace.y_hat, backward(network, trace, x), strict=True)
    states = how.init(network)["layers"]
    pairs = zip(parts, states, strict=True)
    return [partial(how.solver, how.local_problem(*p), state["solver"], 1.0) for p, state in pairs]


@pytest.mark.parametrize("name", ["locoprop-s", "locoprop-m", "locoprop-s-closed"])
def test_side_by_side_gives_the_bits_of_in_order(name):
    network, x = network_and_batch()
    tasks = layer_tasks(name, network, x)
    with one_blas_thread():
        in_order = [task()[0] for task in tasks]
    for _ in range(20):
        for (W, _, _), wanted in zip(side_by_side(tasks, LARGE, like=x), in_order, strict=True):
            assert_array_equal(W, wanted, strict=True)


@pytest.mark.parametrize("name", ["backprop", "locoprop-s", "locoprop-m", "locoprop-s-closed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parallel_layers_agree_with_layers_in_order(name, dtype):
    network, x = network_and_batch(dtype)
    parallel = method(name)
    in_order = replace(parallel, parallel_layers=False)
    together, _, _ = parallel.step(network, parallel.init(network), x, x)
    apart, _, _ = in_order.step(network, in_order.init(network), x, x)
    # other BLAS threads, other order of additions: a few roundings of sums over 200 examples; the closed form
    # multiplies them by the condition 1 + ηλ_max, below 1e3 here
    factor = 1e3 if name == "locoprop-s-closed" else 1
    tolerance = 200 * np.finfo(dtype).eps * factor
    for one, other in zip(together.layers, apart.layers, strict=True):
        assert_allclose(one.W, other.W, rtol=0, atol=tolerance)


def test_whole_training_steps_repeat_to_the_bit():
    network, x = network_and_batch()
    how, first = method("locoprop-m"), None
    for _ in range(5):
        moved, state = network, how.init(network)
        for _ in range(3):
            moved, state, _ = how.step(moved, state, x, x)
        if first is not None:
            assert_same_network(moved, first)
        first = moved


def test_results_come_in_order_and_the_most_costly_begins_first():
    begun, lock = [], threading.Lock()

    def task(i):
        with lock:
            begun.append(i)
        return i * i

    results = side_by_side(
        [partial(task, i) for i in range(6)], [1e9 * cost for cost in (3, 1, 9, 2, 5, 4)], like=np.zeros(1)
    )
    assert results == [0, 1, 4, 9, 16, 25]
    assert begun[0] == 2  # the first thread takes the first of the queue


def test_errors_and_error_settings_carry_over():
    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1 // 0, lambda: 2], LARGE[:2], like=np.zeros(1))
    with np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        value, _ = side_by_side(
            [lambda: np.float32(1e30) * np.float32(1e30), lambda: 0], LARGE[:2], like=np.zeros(1)
        )
    assert value == np.inf


def test_a_task_has_one_blas_thread():
    """Two tasks with two threads each would wait for each other."""
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        assert all(number == 2 for number in threads())
        within = side_by_side([threads] * 2, LARGE[:2], like=np.zeros(1))
        assert all(number == 1 for task in within for number in task) and within[0]
        assert all(number == 2 for number in threads())


def test_blas_threads_are_given_back():
    from threadpoolctl import threadpool_info

    side_by_side([lambda: None] * 2, LARGE[:2], like=np.zeros(1))
    before = [pool["num_threads"] for pool in threadpool_info()]
    side_by_side([lambda: None] * 2, LARGE[:2], like=np.zeros(1))
    assert [pool["num_threads"] for pool in threadpool_info()] == before


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weight_step", [float("inf"), 0.3])
def test_gram_form_is_the_plain_gradient(backend, reduction, weight_step):
    rng = np.random.default_rng(5)
    x, W0, y, W = (rng.normal(size=s) for s in ((12, 5), (5, 4), (12, 4), (5, 4)))
    on = [backend.asarray(values) for values in (x, y, W0, W)]
    problem = LocalProblem(on[0], on[1], transfer("identity"), on[2], weight_step, reduction)
    gradient = gram_gradient(problem)
    # a handful of roundings of numbers of size up to 12·10
    for at in (problem.W0, on[3]):
        assert_allclose(backend.numpy(gradient(at)), backend.numpy(problem.gradient(at)), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("batch", "d", "d_out", "steps"), list(itertools.product((3, 40), (4, 50), (2, 60), (1, 2, 9)))
)
def test_gram_is_chosen_where_it_multiplies_less(batch, d, d_out, steps):
    def product(shape, other):
        return shape[0] * shape[1] * other[1]

    X, Xt, W, r, G = (batch, d), (d, batch), (d, d_out), (batch, d_out), (d, d)
    plain = gram = product(Xt, r)  # the first gradient; its pre-activation is given
    gram += product(Xt, X)
    for _ in range(steps - 1):
        plain += product(X, W) + product(Xt, r)
        gram += product(G, W)
    assert prefers_gram(batch, d, d_out, steps) == (gram < plain)


def test_gram_form_is_for_s_alone():
    with pytest.raises(ValueError, match="gradient_form must be plain for transfer 'tanh'"):
        network, x = network_and_batch()
        how = method("locoprop-m", local=Descend(optimizer("sgd"), gradient_form="gram"))
        how.step(network, how.init(network), x, x)


# which threads, which streams ---------------------------------------------------------------------


def thread_names(costs):
    return side_by_side([lambda: threading.current_thread().name] * len(costs), costs, like=np.zeros(1))


def test_threads_are_kept_from_step_to_step():
    """A pool made anew at every step would have other threads each time."""

    def threads():
        met = threading.Barrier(2)  # both tasks at once, so that no thread takes two

        def task():
            met.wait(timeout=30)
            return threading.get_ident()

        return set(side_by_side([task, task], LARGE[:2], like=np.zeros(1)))

    first = threads()
    assert len(first) == 2
    assert threads() == first


def test_small_tasks_run_in_order_and_large_ones_in_threads():
    here = threading.current_thread().name
    assert thread_names([100, 100, 100]) == [here] * 3
    assert here not in thread_names([1e9, 1e9, 1e9])
    # one large task and a small one have nothing to gain
    assert thread_names([1e9, 10]) == [here] * 2


@pytest.mark.parametrize("name", ["locoprop-m", "kfac", "foof", "shampoo", "locoprop-s-closed"])
def test_layers_in_order_never_leave_their_thread(name, monkeypatch):
    network, x = network_and_batch()
    monkeypatch.setattr("locoprop_ref.methods.base.side_by_side", lambda *args, **rest: 1 / 0)
    apart = method(name, parallel_layers=False)
    apart.step(network, apart.init(network), x, x)
    together = method(name, parallel_layers=True)
    with pytest.raises(ZeroDivisionError):
        together.step(network, together.init(network), x, x)


class Meeting:
    """A solver that moves nothing: two layers wait for each other, and it says where each was solved."""

    def __init__(self, patience):
        self.met, self.patience, self.threads = threading.Barrier(2), patience, []

    def init(self, W0):
        return {}

    def __call__(self, problem, state, rate):
        self.threads.append(threading.get_ident())
        self.met.wait(timeout=self.patience)
        return problem.W0, state, {}


def test_two_layers_are_solved_at_the_same_time_or_one_after_the_other():
    """A barrier for two lets nobody pass who comes alone."""
    network, x = network_and_batch()
    two = replace(network, layers=network.layers[:2], loss=initialize((1, 1), transfers="tanh").loss)
    t, meeting = np.zeros((len(x), SIZES[2]), x.dtype), Meeting(patience=30)
    together = LocoProp("matching", solver=meeting)
    together.step(two, together.init(two), x, t)
    assert len(set(meeting.threads)) == 2 and threading.get_ident() not in meeting.threads
    alone = Meeting(patience=0.001)
    apart = LocoProp("matching", solver=alone, parallel_layers=False)
    with pytest.raises(threading.BrokenBarrierError):
        apart.step(two, apart.init(two), x, t)
    assert alone.threads == [threading.get_ident()]


def test_without_a_thread_to_be_had_the_tasks_run_in_order(monkeypatch):
    """The system's limit of processes is reached: the same results, in this thread."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    made = parallel._threads
    monkeypatch.setattr(parallel, "_threads", lambda *arguments: made.__wrapped__(*arguments))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert set(thread_names([1e9] * 3)) == {threading.current_thread().name}


class FakeStream:
    """What `side_by_side` asks of a CuPy stream."""

    made = 0

    def __init__(self, non_blocking):
        assert non_blocking
        type(self).made += 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def record(self):
        return "event"

    def wait_event(self, event):
        assert event == "event"


def test_streams_are_kept_from_step_to_step(monkeypatch):
    """CuPy keeps a reserve of memory for every stream: new ones at each step would grow without bound."""
    device = SimpleNamespace(id=10**6)
    cuda = SimpleNamespace(
        Stream=FakeStream, Device=lambda: device, get_current_stream=lambda: FakeStream(non_blocking=True)
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr("array_api_compat.is_cupy_array", lambda _: True)
    for _ in range(5):
        before = FakeStream.made
        assert side_by_side([lambda: 1, lambda: 2, lambda: 3], [1, 3, 2], like=np.zeros(1)) == [1, 2, 3]
        made = FakeStream.made - before
    assert made == 1  # the current stream of the last step alone; the three of the layers are kept


@pytest.mark.parametrize(("smallest_threaded", "wanted"), [(5, 1), (4, 2)])
def test_a_small_system_is_solved_with_one_blas_thread(monkeypatch, smallest_threaded, wanted):
    # SciPy's BLAS and NumPy's wait for each other where both have threads
    from threadpoolctl import threadpool_info, threadpool_limits

    seen = []

    def threads(A, b):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return b

    monkeypatch.setattr(arrays, "_cholesky_solve", threads)
    with threadpool_limits(2, user_api="blas"):
        before = threadpool_info()
        solve_positive_definite(np.eye(4), np.ones((4, 1)), xp=np, smallest_threaded=smallest_threaded)
        assert threadpool_info() == before  # given back afterwards
    assert seen and set(seen) == {wanted}
