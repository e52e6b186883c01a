"""Network, method and schedule of a resolved Config."""

from dataclasses import replace
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.architectures import LayerPlan, architecture, resized
from locoprop_ref.methods.base import Method
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.methods.options import assembled, options_of
from locoprop_ref.network import Network, initialize
from locoprop_ref.targets import GradientTargets
from locoprop_ref.training.options import Config
from locoprop_ref.transfers import DISCONTINUOUS, TRANSFERS, Transfer

# how often something is repeated in a step: once is enough to see what is refused
_COUNTS = ("num_local_steps", "code_steps", "num_sweeps", "inverse_steps")


def layer_plans(config: Config) -> tuple[LayerPlan, ...]:
    """Return the layers of `config.layers`, deeper and wider by the two multipliers.

    Raises:
        ValueError: words that name no architecture, see `architectures`; a width ≤ 0, or a depth that the
            architecture does not have.
    """
    words = str(config.layers)
    architecture(words)  # whose sentences are about what the user gave
    width, depth = checks.positive("width", config.width), checks.integer("depth", config.depth)
    return architecture(resized(words, width, depth))


def layer_sizes(config: Config) -> tuple[int, ...]:
    """Return the numbers of an example that the network and each of its layers say: d_0, ..., d_M.

    Raises:
        ValueError: see `layer_plans`.

    >>> from locoprop_ref.training.config import resolve
    >>> layer_sizes(resolve(layers="8-6-4-2-4-6-8", width=0.5, depth=2))
    (8, 3, 2, 2, 1, 2, 2, 3, 8)
    """
    plans = layer_plans(config)
    return (plans[0].inputs, *(plan.positions * plan.d_out for plan in plans))


def layer_transfers(config: Config) -> tuple[str, ...]:
    """Return the transfer function of every layer, by name.

    The last one follows from the network loss; an autoencoder's narrowest hidden layer takes `code_transfer`.

    Raises:
        ValueError: an unknown name, or as many names as there are neither one nor layers.
    """
    sizes, names = layer_sizes(config), config.transfer.split(",")
    for name in names:
        checks.one_of("transfer", name, (*TRANSFERS, *DISCONTINUOUS))
    if len(names) == len(sizes) - 1 and len(names) > 1:
        return tuple(names)
    if len(names) > 1:
        raise ValueError(
            f"transfer must be one name, or one for each of {len(sizes) - 1} layers, got {len(names)}"
        )
    last = {"sigmoid_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}
    hidden = names * (len(sizes) - 2)
    if config.task == "autoencode" and hidden:
        hidden[min(range(len(hidden)), key=lambda m: sizes[m + 1])] = config.code_transfer
    return (*hidden, last.get(str(config.output_loss), "identity"))


def build_network(config: Config, seed: Any, *, xp: Any, own: Transfer | None = None) -> Network:
    """Draw the network of a resolved Config; `seed` may be a Generator.

    Args:
        config: resolved.
        seed: of the weights.
        xp: array namespace.
        own: a transfer function of one's own, in place of `config.transfer` in the hidden layers.
    """
    names = layer_transfers(config)
    hidden = [own if own is not None and name == config.transfer else name for name in names[:-1]]
    return initialize(
        resized(str(config.layers), config.width, config.depth),
        transfers=[*hidden, names[-1]],
        output_loss=config.output_loss,
        bias=config.bias,
        init=config.init,
        seed=seed,
        dtype=config.dtype,
        xp=xp,
    )


def build_method(config: Config) -> Method:
    """Return the method of a resolved Config."""
    options = {name: getattr(config, name) for name in options_of(config.method, config.optimizer)}
    return assembled(config.method, options)


def check_fits(config: Config) -> None:
    """Refuse a network that a target rule or its solver does not take, before there is any file.

    What is asked is the method itself: a step on two examples, with hidden layers of one unit, which has all
    that can be refused (kinds of layers, transfer functions, the loss) and takes milliseconds.

    Raises:
        ValueError, TypeError: what the method says of such a network.
    """
    ours = build_method(config)
    if not isinstance(ours, LocoProp) or isinstance(ours.targets, GradientTargets):
        return
    fewest: dict[str, Any] = {name: 1 for name in _COUNTS if getattr(config, name) is not None}
    thin = replace(config, width=1e-9, depth=1, **fewest)
    ours = build_method(thin)
    network, sizes = build_network(thin, 0, xp=np), layer_sizes(thin)
    x, t = np.zeros((2, sizes[0]), config.dtype), np.zeros((2, sizes[-1]), config.dtype)
    t[:, 0] = 1  # the first class; a value in [0, 1] where the outputs are pixels
    with np.errstate(all="ignore"):  # numbers too large for the dtype are for the run to meet, and to report
        try:
            ours.step(network, ours.init(network), x, t)
        except np.linalg.LinAlgError:
            return


def epoch_rate(config: Config, epoch: int) -> float:
    r"""Return the schedule's factor r of epoch e = 0, 1, ...: e/w for e < w, else 1 − (e + 1 − w)/(T − w).

    T is `schedule_epochs` and w = 5 % of it, rounded down: with T = 100 the authors' schedule. It multiplies
    the optimizer's rate (for closed and exact solvers η), never γ. In an epoch of rate 0 no weight moves, but
    running averages do. With schedule "constant" it is 1.

    >>> from locoprop_ref.training.config import resolve
    >>> [epoch_rate(resolve(preset="paper"), e) for e in (0, 1, 5, 98)]
    [0.0, 0.2, 0.9894736842105263, 0.010526315789473717]
    """
    if config.schedule == "constant":
        return 1.0
    total = config.schedule_epochs
    warm_up = total // 20
    return epoch / warm_up if epoch < warm_up else 1 - (epoch + 1 - warm_up) / (total - warm_up)
