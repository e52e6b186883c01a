"""The ways to take a step that `benchmarks.gpu` compares, and how a device is timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from benchmarks.measure import median
from benchmarks.peers import ours
from benchmarks.problem import Problem, images, network
from locoprop_ref import Network
from locoprop_ref.backend import device_bytes, namespace, to_backend
from locoprop_ref.methods.base import Method
from locoprop_ref.optimizers import RMSProp

Step = Callable[[], object]


class NeedsGPU(Exception):
    """What cannot be measured without a GPU."""


@dataclass(frozen=True)
class Machine:
    """An array library with its device.

    Attributes:
        xp: the namespace.
        backend: its name.
    """

    xp: Any
    backend: str

    @property
    def is_gpu(self) -> bool:
        """Whether arrays live on an NVIDIA GPU."""
        return self.backend == "cupy"

    def seconds(self, step: Step, steps: int = 3) -> float:
        """Return the seconds of one step, the mean of some; the clock waits for the device."""
        step()
        self.wait()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        self.wait()
        return (time.perf_counter() - start) / steps

    def wait(self) -> None:
        """Wait for the device, whichever library gave it work."""
        if self.is_gpu:
            self.xp.cuda.runtime.deviceSynchronize()

    def needs_gpu(self) -> None:
        """Raise `NeedsGPU` on a host."""
        if not self.is_gpu:
            raise NeedsGPU("needs a GPU")


def machine(backend: str) -> Machine:
    """Return the library of that name.

    Raises:
        ValueError: an unknown name, or "cupy" where there is no GPU.
    """
    return Machine(namespace(backend), backend)


def on_device(on: Machine, problem: Problem, method: Method) -> tuple[Network, Any, Any]:
    """Return the network before the step, the method's state and the batch, on the device."""
    host = network(problem)
    layers = [
        replace(layer, W=to_backend(layer.W, xp=on.xp), b=to_backend(layer.b, xp=on.xp))
        for layer in host.layers
    ]
    moved = replace(host, layers=tuple(layers))
    return moved, method.init(moved), to_backend(images(problem), xp=on.xp)


def ours_step(on: Machine, problem: Problem, name: str, *, parallel: bool) -> Step:
    """Return a step of this package, with its layers side by side or in order."""
    method = ours.method_of(problem, name, parallel_layers=parallel)
    net, state, x = on_device(on, problem, method)
    now = [net, state]

    def step() -> None:
        now[0], now[1], _ = method.step(now[0], now[1], x, x)

    return step


def replayed_step(on: Machine, problem: Problem, name: str) -> Step:
    """Return the replay of a step as a CUDA graph, which writes its results where it read its inputs.

    The graph keeps a memory pool to itself: what a replay uses must not be given to others meanwhile.
    """
    on.needs_gpu()
    cupy = on.xp
    method = ours.method_of(problem, name, parallel_layers=True)
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    with cupy.cuda.using_allocator(pool.malloc), stream:
        net, state, x = on_device(on, problem, method)

        def in_place() -> None:
            after, new_state, _ = method.step(net, state, x, x)
            for old, new in zip(arrays((net, state)), arrays((after, new_state)), strict=True):
                old[...] = new

        for _ in range(3):  # fills the pool, so that the capture allocates nothing
            in_place()
        stream.synchronize()
        stream.begin_capture()
        in_place()
        graph = stream.end_capture()
    kept = (pool, net, state, x)  # as long as the graph can be replayed
    return lambda: (graph.launch(stream), kept)


def arrays(value: Any) -> list[Any]:
    """Return the arrays of a network and a state, in order."""
    if isinstance(value, Network):
        return [array for layer in value.layers for array in (layer.W, layer.b)]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        return [array for part in value for array in arrays(part)]
    return [value] if hasattr(value, "shape") else []


def torch_step(on: Machine, problem: Problem, name: str, *, how: str) -> Step:
    """Return the step in PyTorch: eager, with its RMSProp compiled, or as a CUDA graph.

    `torch.compile` does not take the gradients that a step asks for in its middle; the optimizer, K times a
    layer, is what it can fuse.
    """
    import torch

    from benchmarks.peers import torch_eager

    with torch.device("cuda" if on.is_gpu else "cpu"):
        run = torch_eager.prepare(problem, name)
    if how == "compiled":
        torch._dynamo.config.recompile_limit = 64  # matrices and biases, a rate for each inner step
        run.rmsprop = torch.compile(run.rmsprop, dynamic=True)
    if how == "graph":
        on.needs_gpu()
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                run.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run.step()
        return graph.replay
    return run.step


STEPS: dict[str, Callable[[Machine, Problem, str], Step]] = {
    "ours, layers side by side": lambda *to: ours_step(*to, parallel=True),
    "ours, layers in order": lambda *to: ours_step(*to, parallel=False),
    "ours, CUDA graph replayed": replayed_step,
    "PyTorch eager": lambda *to: torch_step(*to, how="eager"),
    "PyTorch, RMSProp compiled": lambda *to: torch_step(*to, how="compiled"),
    "PyTorch, CUDA graph": lambda *to: torch_step(*to, how="graph"),
}


def matrix_rate(on: Machine, size: int = 4096, rounds: int = 5) -> float:
    """Return the floating-point operations in a second of products of square matrices, float32."""
    a = on.xp.ones((size, size), dtype=on.xp.float32)
    return 2 * size**3 / median([on.seconds(lambda: a @ a, 1) for _ in range(rounds)]).median


def pool_bytes(on: Machine, problem: Problem, steps: int = 1000) -> tuple[int, int, int]:
    """Return the bytes of the memory pool after 20 steps of M and after many, and how many.

    Raises:
        NeedsGPU: a host has no pool.
    """
    on.needs_gpu()
    step = ours_step(on, problem, "locoprop-m", parallel=True)
    for _ in range(20):
        step()
    early = device_bytes(on.xp) or 0
    for _ in range(steps - 20):
        step()
    return early, device_bytes(on.xp) or 0, steps


def one_expression(g: Any, v: Any, m: Any, rule: RMSProp, rate: float, xp: Any) -> tuple[Any, Any]:
    """Return momentum buffer and mean square of TensorFlow 1's RMSProp, each as one expression."""
    v = rule.decay * v + (1 - rule.decay) * g * g
    return rule.momentum * m + rate * g / xp.sqrt(v + rule.epsilon), v


def fused_gain(on: Machine, problem: Problem, rounds: int) -> float:
    """Return the time of RMSProp's update of the largest layer as one fused kernel, over that of ours.

    Raises:
        NeedsGPU: kernels are fused by CuPy alone.
    """
    on.needs_gpu()
    cupy, rule = on.xp, RMSProp("tf1", problem.decay, problem.momentum, problem.epsilon)
    sizes = problem.layer_sizes
    gradient = cupy.ones(max(pairwise(sizes), key=lambda pair: pair[0] * pair[1]))
    gradient = gradient.astype(cupy.float32)
    state = rule.init(gradient)

    @cupy.fuse()
    def fused(g: Any, v: Any, m: Any) -> Any:
        return one_expression(g, v, m, rule, problem.local_lr, cupy)

    def one() -> None:
        fused(gradient, state["mean_square"], state["momentum_buffer"])

    ratios = [
        on.seconds(one, 20) / on.seconds(lambda: rule.update(gradient, state, problem.local_lr), 20)
        for _ in range(rounds)
    ]
    return median(ratios).median
