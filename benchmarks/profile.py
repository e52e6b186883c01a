"""Profile of a step: processor seconds of its parts on one core, and of the products of each part.

The processor time is that of one thread, the smallest of several rounds; it hardly changes on a busy machine.
During the measurement of the parts, the process keeps freed memory. By default the C library returns such
memory to the system and requests it again, page by page; the time that this costs is listed separately.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import trange

from benchmarks import floor
from benchmarks.peers import PEERS, ours
from benchmarks.problem import Problem, images, network, to_dict
from benchmarks.results import save
from locoprop_ref.network import backward, forward
from locoprop_ref.training.memory import keep_freed_memory

METHODS = ("locoprop-m", "locoprop-s", "locoprop-s-closed", "backprop-rmsprop", "backprop-sgd")


def step_parts(problem: Problem, method: str) -> dict[str, Callable[[], Any]]:
    """Return the parts of a step by name, each as a function without arguments."""
    net, x = network(problem), images(problem)
    how = ours.method_of(problem, method, parallel_layers=False)
    state, trace = how.init(net), forward(net, x)
    g = backward(net, trace, x)
    layers = list(zip(net.layers, trace.x, trace.a_hat, trace.y_hat, g, strict=True))
    parts = {"forward": lambda: forward(net, x), "backward": lambda: backward(net, trace, x)}
    if method.startswith("backprop"):
        works = [
            partial(how.update_layer, layer, old, x_m, g_m, g_m, 0, problem.batch, rate=1e-4)
            for (layer, x_m, _, _, g_m), old in zip(layers, state["layers"], strict=True)
        ]
    else:
        problems, old = (
            [how.local_problem(*layer) for layer in layers],
            [e["solver"] for e in state["layers"]],
        )
        parts["local problems"] = lambda: [how.local_problem(*layer) for layer in layers]
        works = [partial(how.solver, *pair, 1.0) for pair in zip(problems, old, strict=True)]
    for m, work in enumerate(works):
        parts[f"layer {m + 1}, {net.layers[m].W.shape[0]}-{net.layers[m].W.shape[1]}"] = work
    parts["whole step"] = lambda: how.step(net, state, x, x)
    return parts


def product_parts(problem: Problem, method: str) -> dict[str, Callable[[], Any]]:
    """Return the products of the same parts, with the same names."""
    run, net = floor.prepare(problem, method), network(problem)
    M = len(net.layers)
    passes = dict(enumerate(run.passes))
    forwards = [passes[0], *(passes[2 * m - 1] for m in range(1, M))]
    backwards = [passes[2 * m] for m in range(1, M)]
    parts = {"forward": lambda: floor.run_all(forwards), "backward": lambda: floor.run_all(backwards)}
    for m, products in enumerate(run.layers):
        name = f"layer {m + 1}, {net.layers[m].W.shape[0]}-{net.layers[m].W.shape[1]}"
        parts[name] = lambda products=products: floor.run_all(products)
    parts["whole step"] = run.step
    return parts


def processor_seconds(parts: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the smallest processor time of every part."""
    least = dict.fromkeys(parts, float("inf"))
    for _ in trange(rounds, unit="round", disable=None, leave=False):
        for name, part in parts.items():
            start = time.process_time()
            part()
            least[name] = min(least[name], time.process_time() - start)
    return least


def run(*, rounds: int = 20) -> None:
    """Profile every method, and save and print the results."""
    problem, result = Problem(), {}
    lines = ["processor milliseconds on one core: the part, its products alone, and the difference"]
    with threadpool_limits(1, user_api="blas"):
        usual = {
            method: processor_seconds({"step": PEERS["ours-in-order"].prepare(problem, method).step}, rounds)
            for method in METHODS
        }
        keep_freed_memory()
        for method in METHODS:
            spent = processor_seconds(step_parts(problem, method), rounds)
            needed = processor_seconds(product_parts(problem, method), rounds)
            spent["pages taken again"] = max(usual[method]["step"] - spent["whole step"], 0.0)
            result[method] = {"spent": spent, "products": needed}
            lines += ["", method]
            for name, seconds in spent.items():
                products = needed.get(name, 0.0)
                rest = seconds - products
                lines.append(f"  {name:18}{1e3 * seconds:9.1f}{1e3 * products:9.1f}{1e3 * rest:9.1f}")
    save("profile", {"problem": to_dict(problem), "methods": result}, "\n".join(lines))
