"""More mistakes of ports, one a function, planted in copies of the PyTorch adapter.

Each line has the topics of the check and the flags that the first line of the diagnosis may name; an empty
tuple means that the honest answer is no name at all.
"""

import math

import torch
import torch.nn.functional as F
from mistakes import _one_layer, with_conventions, with_inputs

STEPPED = ("local_steps", "training")
EPS32 = 2.0**-24


def wrapped(m, name, change):
    """Replace a function of a module by `change(right, *arguments)`."""
    right = getattr(m, name)
    setattr(m, name, lambda *arguments, **named: change(right, *arguments, **named))


def returning(change):
    """Plant a change of what the target returns."""

    def plant(m):
        def target(right, topic, conventions, inputs):
            values = right(topic, conventions, inputs)
            return values if values is NotImplemented else change(values)

        wrapped(m, "target", target)

    return plant


def with_input(name, change):
    """Plant a change of one input where it is given."""

    def plant(m):
        with_inputs(m, lambda i: i | ({name: change(i[name])} if name in i else {}))

    return plant


def no_bias_returned(m):
    with_conventions(m, local_reduction="mean")
    returning(lambda v: {k: u for k, u in v.items() if not k.startswith(("b", "db"))})(m)


def mse_loss(m):
    def loss(right, a_hat, y_hat, t, name):
        return F.mse_loss(y_hat, t) if name == "squared_error" else right(a_hat, y_hat, t, name)

    wrapped(m, "network_loss", loss)


def batch_summed_loss(m):
    wrapped(m, "network_loss", lambda right, a, *others: right(a, *others) * len(a))


def log_with_epsilon(m):
    def loss(right, a_hat, y_hat, t, name):
        if name == "softmax_cross_entropy":
            return -(t * torch.log(y_hat + 1e-8)).sum(1).mean()
        if name == "sigmoid_cross_entropy":
            terms = t * torch.log(y_hat + 1e-8) + (1 - t) * torch.log(1 - y_hat + 1e-8)
            return -terms.sum(1).mean()
        return right(a_hat, y_hat, t, name)

    wrapped(m, "network_loss", loss)


def step_twice(m):
    with_inputs(m, lambda i: i | ({"target_step": i["target_step"] ** 2} if "target_step" in i else {}))


def exchanged(m):
    other = {"locoprop-s": "locoprop-m", "locoprop-m": "locoprop-s"}
    with_inputs(m, lambda i: i | {"method": other.get(i.get("method"), i.get("method"))})


def noise(size):
    def plant(m):
        draw = torch.Generator().manual_seed(0)

        def noisy(value):
            return value.detach() * (1 + size * torch.randn(value.shape, generator=draw, dtype=torch.float64))

        returning(lambda v: {k: noisy(u) for k, u in v.items()})(m)

    return plant


def jitter(size):
    def plant(m):
        def closed(right, weights, x, y_target, inputs, conventions):
            eta = 1 / (1 / inputs["weight_step"] + size)
            return right(weights, x, y_target, inputs | {"weight_step": eta}, conventions)

        wrapped(m, "closed_form", closed)

    return plant


def finite_differences(m):
    def passes(right, network, inputs, x, t):
        xs, a_hats, _ = right(network, inputs, x, t)

        def loss(layer, moved):
            y = moved
            for n in range(layer, len(network)):
                a = moved if n == layer else m.linear(y, network[n])
                y = m.TRANSFERS[inputs["transfers"][n]](a, inputs)
            return m.network_loss(a, y, t, inputs["output_loss"]).detach()

        gs, h = [], 1e-6
        for layer, a in enumerate(a_hats):
            g = torch.zeros_like(a)
            for i in range(a.shape[0]):
                for j in range(a.shape[1]):
                    up, down = a.clone(), a.clone()
                    up[i, j] += h
                    down[i, j] -= h
                    g[i, j] = (loss(layer, up) - loss(layer, down)) / (2 * h)
            gs.append(g)
        return xs, a_hats, gs

    wrapped(m, "forward_backward", passes)


def g_in_float32(m):
    def passes(right, *arguments):
        xs, a_hats, g = right(*arguments)
        return xs, a_hats, [u.float().double() for u in g]

    wrapped(m, "forward_backward", passes)


class TF32(torch.autograd.Function):
    """A product of matrices whose inputs are rounded to 11 bits."""

    @staticmethod
    def narrow(x):
        mantissa, exponent = torch.frexp(x)
        return torch.ldexp(torch.round(mantissa * 2.0**11), exponent - 11)

    @staticmethod
    def forward(ctx, x, W):
        ctx.save_for_backward(x, W)
        return TF32.narrow(x) @ TF32.narrow(W)

    @staticmethod
    def backward(ctx, u):
        x, W = ctx.saved_tensors
        return TF32.narrow(u) @ TF32.narrow(W).T, TF32.narrow(x).T @ TF32.narrow(u)


def tf32(m):
    """As on a GPU with torch.backends.cuda.matmul.allow_tf32."""
    m.linear = lambda x, weights: TF32.apply(x, weights[0]) + (weights[1] if len(weights) > 1 else 0)


def narrow(dtype):
    def plant(m):
        def target(right, topic, conventions, inputs):
            given = {
                k: torch.from_numpy(v).to(dtype) if hasattr(v, "dtype") else v for k, v in inputs.items()
            }
            if "rates" in given:
                given["rates"] = torch.from_numpy(inputs["rates"])
            from_numpy, torch.from_numpy = torch.from_numpy, lambda v: v
            try:
                values = right(topic, conventions, given)
            finally:
                torch.from_numpy = from_numpy
            return values if values is NotImplemented else {k: v.detach().double() for k, v in values.items()}

        wrapped(m, "target", target)

    return plant


# the inner loop


def rate_by(rule):
    def plant(m):
        m.local_rate = lambda k, K, c: rule(k, K) if c["local_decay"] == "authors" else 1.0

    return plant


def steps(more):
    """K + more steps, with the decay of K."""

    def plant(m):
        def run(right, leaves, optimizer, x, y_target, transfer, inputs, conventions, rate=1.0):
            K, rule = inputs["num_local_steps"], m.local_rate
            m.local_rate = lambda k, _, c: rule(k, K, c)
            given = inputs | {"num_local_steps": K + more}
            try:
                right(leaves, optimizer, x, y_target, transfer, given, conventions, rate)
            finally:
                m.local_rate = rule

        wrapped(m, "local_steps", run)

    return plant


def frozen(m):
    def gradient(right, weights, anchors, *others):
        now = [w.detach().clone() for w in weights]
        for w, anchor in zip(weights, anchors, strict=True):
            w.data.copy_(anchor)
        right(weights, anchors, *others)
        for w, value in zip(weights, now, strict=True):
            w.data.copy_(value)

    wrapped(m, "set_local_gradient", gradient)


def bias_times(factor):
    def plant(m):
        def gradient(right, weights, anchors, x, *others):
            right(weights, anchors, x, *others)
            for b in weights[1:]:
                b.grad = b.grad * (factor if factor else 1 / len(x))

        wrapped(m, "set_local_gradient", gradient)

    return plant


def weight_decay(m):
    def gradient(right, weights, anchors, *others):
        right(weights, [0 * a for a in anchors], *others)

    wrapped(m, "set_local_gradient", gradient)


def bias_free_to_move(m):
    def gradient(right, weights, anchors, *others):
        moving = [w.detach().clone() for w in weights[1:]]  # the bias, where there is one
        right(weights, [*anchors[:1], *moving], *others)

    wrapped(m, "set_local_gradient", gradient)


def sigmoid_for_tanh(m):
    def gradient(right, weights, anchors, x, y_target, transfer, inputs, conventions):
        wrong = "sigmoid" if transfer == "tanh" else transfer
        right(weights, anchors, x, y_target, wrong, inputs, conventions)

    wrapped(m, "set_local_gradient", gradient)


def clipped_gradient(m):
    def gradient(right, weights, *others):
        right(weights, *others)
        for w in weights:
            w.grad = w.grad.clamp(-0.5, 0.5)

    wrapped(m, "set_local_gradient", gradient)


def noisy_gradient_scale(factor):
    def plant(m):
        def gradient(right, weights, *others):
            right(weights, *others)
            for w in weights:
                w.grad = w.grad * factor

        wrapped(m, "set_local_gradient", gradient)

    return plant


def training_with(layer_inputs=None, rates=None):
    """Plant a training loop with other inputs for some layers, or other rates."""

    def plant(m):
        def train(network, inputs, conventions):
            network, optimizers = [m.leaves_of(w) for w in network], [None] * len(network)
            given = inputs["rates"].tolist()
            for number, (x, t) in enumerate(zip(inputs["x"], inputs["t"], strict=True)):
                rate = rates(given, number) if rates else given[number]
                xs, a_hats, g = m.forward_backward(network, inputs, x, t)
                for i in range(len(network)):
                    own = layer_inputs(inputs, i, len(network), given[number]) if layer_inputs else inputs
                    _one_layer(m, network, optimizers, i, xs[i], a_hats[i], g[i], own, conventions, rate)
            return network

        m.train = train

    return plant


def logits(inputs, i, layers, rate):
    last = i + 1 == layers and inputs["method"] == "locoprop-m"
    return inputs | ({"method": "locoprop-s"} if last else {})


def scheduled_step(inputs, i, layers, rate):
    return inputs | {"target_step": inputs["target_step"] * rate}


def rate_not_restored(m):
    def rates(given, number):
        return given[number] * 0.25**number

    training_with(rates=rates)(m)


def running_covariance(m):
    """x^T x of all batches so far, by the rows of the batches before with residuals of 0."""
    seen = {}

    def train(right, network, inputs, conventions):
        seen.clear()
        return right(network, inputs, conventions)

    def closed(right, weights, x, y_target, inputs, conventions):
        place = (weights[0].shape, "rates" in inputs)
        past = seen.get(place)
        seen[place] = x if past is None else torch.cat([past, x])
        if past is None:
            return right(weights, x, y_target, inputs, conventions)
        rows = torch.cat([y_target, m.linear(past, weights)])
        return right(weights, torch.cat([x, past]), rows, inputs, conventions)

    wrapped(m, "train", train)
    wrapped(m, "closed_form", closed)


def fixed_point(m):
    """The proximal point by 500 steps of a fixed-point iteration, which converges for gentle cases alone."""

    def closed(right, weights, x, y_target, inputs, conventions):
        eta = inputs["weight_step"]
        if eta == math.inf:
            return right(weights, x, y_target, inputs, conventions)
        moved = [w.clone() for w in weights]
        count = len(x) if conventions["local_reduction"] == "mean" else 1
        for _ in range(500):
            r = (m.linear(x, moved) - y_target) / count
            changes = [x.T @ r, r.sum(0)]
            moved = [w - eta * d for w, d in zip(weights, changes, strict=False)]
        return moved

    wrapped(m, "closed_form", closed)


def momentum_with(**options):
    def plant(m):
        def make(right, leaves, inputs):
            if inputs["optimizer"] != "momentum":
                return right(leaves, inputs)
            return torch.optim.SGD(leaves, inputs["local_lr"], momentum=inputs["momentum"], **options)

        wrapped(m, "make_optimizer", make)

    return plant


def softmax_over_batch(m):
    def loss(right, a_hat, y_hat, t, name):
        if name == "softmax_cross_entropy":
            return -(t * torch.log_softmax(a_hat, 0)).sum() / len(t) + 0 * y_hat.sum()
        return right(a_hat, y_hat, t, name)

    wrapped(m, "network_loss", loss)


def target_noise(m):
    wrapped(m, "local_target", lambda right, a, g, tr, i: right(a, g, tr, i).clamp(-0.75, 0.75))


def relu_leaks(m):
    m.TRANSFERS = m.TRANSFERS | {"relu": lambda a, i: F.leaky_relu(a, 0.01)}


def gelu_for_relu(m):
    m.TRANSFERS = m.TRANSFERS | {"relu": lambda a, i: F.gelu(a)}


def hard_tanh(m):
    m.TRANSFERS = m.TRANSFERS | {"tanh": lambda a, i: F.hardtanh(a)}


def half_of_the_batch(m):
    with_inputs(m, lambda i: i | ({"x": 0.5 * i["x"]} if "x" in i else {}))


def pair(*plants):
    def plant(m):
        for one in plants:
            one(m)

    return plant


def stating(**changed):
    return lambda m: with_conventions(m, **changed)


def scaled_input(name, factor):
    return with_input(name, lambda value: factor * value)


def inverted(name):
    return with_input(name, lambda value: 1 / value if value < math.inf else value)


GS = ("closed_form", "local_steps")
PASS = ("first_step", "training")
# mistake: (plant, topics, what the first line may name: sets of flags; () for none)
MISTAKES = {
    "mean, and b is not returned": (no_bias_returned, GS, ()),
    "F.mse_loss": (mse_loss, PASS, ({"LossElementMean", "SquaredErrorWhole"},)),
    "loss summed over the batch": (batch_summed_loss, ("first_step",), ({"LossBatchSum"},)),
    "target_step twice": (step_twice, (*GS, "target"), ({"TargetStepTwice"},)),
    "S and M exchanged": (exchanged, ("local_steps", "target"), ({"MethodsExchanged"},)),
    "log(p + 1e-8)": (log_with_epsilon, ("first_step",), ()),
    "noise of 1e-12": (noise(1e-12), GS, ()),
    "noise of 1e-11": (noise(1e-11), GS, ()),
    "noise of 1e-10": (noise(1e-10), GS, ()),
    "noise of 1e-8": (noise(1e-8), GS, ()),
    "noise of 1e-7": (noise(1e-7), GS, ()),
    "noise of 1e-5": (noise(1e-5), GS, ()),
    "ridge of 1e-10 more": (jitter(1e-10), GS, ()),
    "ridge of 1e-8 more": (jitter(1e-8), GS, ()),
    "ridge of 1e-6 more": (jitter(1e-6), GS, ()),
    "ridge of 1e-3 more": (jitter(1e-3), GS, ()),
    "finite differences": (finite_differences, ("first_step",), ()),
    "g in float32": (g_in_float32, ("first_step",), ({"Float32Arithmetic"}, set())),
    "TF32 products": (tf32, PASS, ({"TF32Products"},)),
    "float16": (narrow(torch.float16), ("target", "first_step"), ({"Float16Arithmetic"},)),
    "bfloat16": (narrow(torch.bfloat16), ("target", "first_step"), ({"BFloat16Arithmetic"},)),
    "decay by K - 1": (rate_by(lambda k, K: max(1 - k / max(K - 1, 1), 0.25)), ("local_steps",),
                       ({"LocalDecayByKMinusOne"},)),
    "decay with a floor of 0.1": (rate_by(lambda k, K: max(1 - k / K, 0.1)), ("local_steps",),
                                  ({"LocalDecayFloorTenth"},)),
    "decay with a floor of 0.5": (rate_by(lambda k, K: max(1 - k / K, 0.5)), ("local_steps",),
                                  ({"LocalDecayFloorHalf"},)),
    "decay by a cosine": (rate_by(lambda k, K: 0.5 + 0.5 * math.cos(math.pi * k / K)), ("local_steps",), ()),
    "decay by powers": (rate_by(lambda k, K: 0.75**k), ("local_steps",), ()),
    "one step more": (steps(1), ("local_steps",), ({"LocalStepsOneMore"},)),
    "one step less": (steps(-1), ("local_steps",), ({"LocalStepsOneLess"},)),
    "two steps more": (steps(2), ("local_steps",), ()),
    "the gradient of the first step": (frozen, ("local_steps",), ({"LocalGradientFrozen"},)),
    "bias gradient doubled": (bias_times(2), ("local_steps",), ({"BiasGradientDoubled"},)),
    "bias gradient averaged": (bias_times(0), ("local_steps",), ({"BiasGradientAveraged"},)),
    "bias gradient tripled": (bias_times(3), ("local_steps",), ()),
    "weight decay": (weight_decay, ("local_steps",), ({"ProximalAsWeightDecay"},)),
    "proximal term not on the bias": (bias_free_to_move, ("local_steps",), ({"ProximalWithoutBias"},)),
    "sigmoid for tanh in the gradient": (sigmoid_for_tanh, ("local_steps",), ({"TanhIntegralOfSigmoid"},)),
    "clipped gradients": (clipped_gradient, ("local_steps",), ()),
    "gradients times 1.5": (noisy_gradient_scale(1.5), ("local_steps",), ()),
    "output layer as logits": (training_with(logits), ("training",), ({"OutputAsLogits"},)),
    "schedule ignored": (training_with(rates=lambda r, t: 1.0), ("training",), ({"ScheduleIgnored"},)),
    "schedule a batch late": (training_with(rates=lambda r, t: r[max(t - 1, 0)]), ("training",),
                              ({"ScheduleLate"},)),
    "schedule a batch early": (training_with(rates=lambda r, t: r[min(t + 1, len(r) - 1)]), ("training",),
                               ()),
    "schedule on target_step too": (training_with(scheduled_step), ("training",), ({"ScheduleOnBoth"},)),
    "schedule on target_step alone": (training_with(scheduled_step, lambda r, t: 1.0), ("training",),
                                      ({"ScheduleOnTargetStep"},)),
    "rate not restored": (rate_not_restored, ("training",), ({"LocalRateNotRestored"},)),
    "running covariance": (running_covariance, ("training",), ({"CovarianceRunning"},)),
    "fixed-point iteration": (fixed_point, ("closed_form",), ()),
    "weight_step for 1/weight_step": (inverted("weight_step"), ("closed_form",), ({"RidgeInverted"},)),
    "dampened momentum": (momentum_with(dampening=0.75), ("local_steps",), ({"MomentumAveraged"}, set())),
    "Nesterov for heavy ball": (momentum_with(nesterov=True), ("local_steps",), ({"NesterovExchanged"},)),
    "softmax over the batch": (softmax_over_batch, ("first_step",), ({"SoftmaxOverBatch"}, set())),
    "targets clamped to 0.75": (target_noise, ("target",), ()),
    "relu leaks": (relu_leaks, ("first_step",), ()),
    "gelu for relu": (gelu_for_relu, ("first_step",), ()),
    "hard tanh": (hard_tanh, ("first_step", "local_steps"), ()),
    "inputs halved": (half_of_the_batch, GS, ()),
    "target_step times 1.5": (scaled_input("target_step", 1.5), GS, ()),
    "local_lr times 3": (scaled_input("local_lr", 3.0), ("local_steps",), ()),
    "weight_step times 10": (scaled_input("weight_step", 10.0), ("closed_form",), ()),
    "a rate that diverges": (scaled_input("local_lr", 1e9), ("local_steps",), ()),
    "mean and constant rate": (pair(stating(local_reduction="mean"), stating(local_decay="constant")),
                               ("local_steps",), ({"LocalMean", "LocalRateConstant"},)),
    "mean and the wrong sign": (pair(stating(local_reduction="mean"), scaled_input("target_step", -1.0)),
                                ("closed_form",), ({"LocalMean", "TargetSignFlipped"},)),
    "nothing returned but zeros": (returning(lambda v: {k: 0 * u for k, u in v.items()}), GS, ()),
    "results rounded to 4 digits": (returning(lambda v: {k: (u * 1e4).round() / 1e4 for k, u in v.items()}),
                                    GS, ()),
}  # fmt: skip
