"""Mistakes planted in copies of `torch_positions.py`, one a function: what the diagnosis has to name."""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F


def fresh_copy():
    """Return a fresh copy of the program."""
    path = Path(__file__).with_name("torch_positions.py")
    spec = importlib.util.spec_from_file_location("copy_of_torch_positions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# rows and their numbers -----------------------------------------------------------------------------


def rows_by_example(m):
    m.by_rows = lambda z: z.flatten(2).permute(0, 2, 1).reshape(-1, z.shape[1])
    m.from_rows = lambda u, batch: u.reshape(batch, -1, u.shape[1]).permute(0, 2, 1)
    m.all_steps = lambda parts: torch.stack(parts, dim=1).flatten(0, 1)


def images_channels_last(m):
    def example(y, shape):
        return y.reshape(-1, *shape[1:], shape[0]).movedim(-1, 1)

    m.example = example
    m.back_to_flat = lambda z: z.movedim(1, -1).reshape(len(z), -1)


def kernel_channels_last(m):
    def unfolded(z, size, stride):
        read = F.unfold(z, size, stride=stride)
        return read.reshape(len(z), z.shape[1], size**2, -1).transpose(1, 2).reshape(read.shape)

    m.unfolded = unfolded
    m.kernels = lambda W, channels, size: W.T.reshape(-1, size, size, channels).permute(0, 3, 1, 2)


def flipped_kernel(m):
    right = m.kernels

    def unfolded(z, size, stride):
        read = F.unfold(z, size, stride=stride)
        return read.reshape(len(z), z.shape[1], size**2, -1).flip(2).reshape(read.shape)

    m.unfolded = unfolded
    m.kernels = lambda W, channels, size: right(W, channels, size).flip(2, 3)


def kernel_rows_and_columns_exchanged(m):
    right = m.kernels
    m.kernels = lambda W, channels, size: right(W, channels, size).transpose(2, 3)

    def unfolded(z, size, stride):
        read = F.unfold(z, size, stride=stride)
        shape = (len(z), z.shape[1], size, size, -1)
        return read.reshape(shape).transpose(2, 3).reshape(read.shape)

    m.unfolded = unfolded


def padding_at_the_end(m):
    m.padded = lambda z, padding: F.pad(z, (0, 2 * padding, 0, 2 * padding))


def padding_before_only(m):
    m.padded = lambda z, padding: F.pad(z, (padding, 0, padding, 0))


def stride_forgotten(m):
    m.unfolded = lambda z, size, stride: F.unfold(z, size)
    m.convolved = lambda z, W, b, size, stride: F.conv2d(z, m.kernels(W, z.shape[1], size), b)
    m.maximum = lambda z, size, stride: F.max_pool2d(z, size)
    m.mean = lambda z, size, stride: F.avg_pool2d(z, size)


def flatten_channels_last(m):
    m.flattened = lambda z: z.movedim(1, -1).reshape(len(z), -1)


def bias_first(m):
    m.with_ones = lambda x: torch.cat([x.new_ones(len(x), 1), x], dim=1)

    def convolved(z, W, b, size, stride):
        if b is None:
            return F.conv2d(z, m.kernels(W, z.shape[1], size), None, stride=stride)
        whole = torch.cat([W, b[None]])
        return F.conv2d(z, m.kernels(whole[1:], z.shape[1], size), whole[0], stride=stride)

    m.convolved = convolved


# pooling --------------------------------------------------------------------------------------------


def windows(z, size, stride):
    """Return (B, C, size², height', width')."""
    read = F.unfold(z, size, stride=stride).reshape(len(z), z.shape[1], size**2, -1)
    height = (z.shape[2] - size) // stride + 1
    return read.reshape(*read.shape[:3], height, -1)


def with_derivative_of(value, other):
    """Return the value, with the derivative of another one."""
    return value.detach() + other - other.detach()


def tie_to_all(m):
    def maximum(z, size, stride):
        seen = windows(z, size, stride)
        largest = seen.amax(2, keepdim=True)
        return with_derivative_of(largest[:, :, 0], (seen * (seen == largest).detach()).sum(2))

    m.maximum = maximum


def tie_to_last(m):
    def maximum(z, size, stride):
        seen = windows(z, size, stride)
        last = seen.shape[2] - 1 - seen.detach().flip(2).argmax(2, keepdim=True)
        return seen.gather(2, last)[:, :, 0]

    m.maximum = maximum


def tie_shared(m):
    m.maximum = lambda z, size, stride: windows(z, size, stride).amax(2)


def mean_undivided(m):
    def mean(z, size, stride):
        return with_derivative_of(F.avg_pool2d(z, size, stride), windows(z, size, stride).sum(2))

    m.mean = mean


# the local problem ----------------------------------------------------------------------------------


def mean_over_rows(m):
    m.divisor = lambda batch, rows: rows


def mean_forgotten(m):
    m.divisor = lambda batch, rows: 1


def loss_summed(m):
    right = m.network_loss
    m.network_loss = lambda a_hat, y_hat, t, name: len(t) * right(a_hat, y_hat, t, name)


def wrong_sign(m):
    right = m.target

    def target(topic, conventions, inputs):
        changed = {"target_step": -inputs["target_step"]} if "target_step" in inputs else {}
        return right(topic, conventions, {**inputs, **changed})

    m.target = target


# recurrence -----------------------------------------------------------------------------------------


def state_first(m):
    m.joined = lambda x, h: torch.cat([h, x], dim=1)


def zero_state(m):
    m.state_before = lambda inputs, layer, h: h


def detached_state(m):
    m.carried = lambda h: h.detach()


def last_step_alone(m):
    detached_state(m)
    right = m.said
    m.said = lambda states: right([*(h.detach() for h in states[:-1]), states[-1]])


# without a name -------------------------------------------------------------------------------------


def padding_repeats_the_edge(m):
    m.padded = lambda z, padding: F.pad(z, (padding,) * 4, mode="replicate")


def mean_divided_by_less(m):
    m.mean = lambda z, size, stride: F.avg_pool2d(z, size, stride, divisor_override=size**2 - 1)


def two_steps_back_only(m):
    def through_time(steps, W, b, f, inputs, layer):
        h = m.state_before(inputs, layer, steps.new_zeros(len(steps), W.shape[1]))
        rows, a_hats, states = [], [], []
        for t in range(steps.shape[2]):
            rows.append(m.joined(steps[:, :, t], h if t == steps.shape[2] - 1 else h.detach()))
            a_hats.append(m.affine(rows[-1], W, b))
            h = f(a_hats[-1])
            states.append(h)
        return m.all_steps(rows), a_hats, m.all_steps(states), m.said(states)

    m.through_time = through_time


# mistake: (plant, the flag that the first line must name; None: no known deviation)
MISTAKES = {
    "rows by example": (rows_by_example, "RowsByExample"),
    "images with channels last": (images_channels_last, "ExampleReversed"),
    "channels last in a kernel": (kernel_channels_last, "PatchChannelsLast"),
    "kernel flipped": (flipped_kernel, "KernelFlipped"),
    "padding at the end": (padding_at_the_end, "PaddingAtEnd"),
    "padding before only": (padding_before_only, "PaddingBeforeOnly"),
    "stride forgotten": (stride_forgotten, "StrideIgnored"),
    "channels last in flatten": (flatten_channels_last, "FlattenChannelsLast"),
    "bias first": (bias_first, "BiasFirst"),
    "ties: to all": (tie_to_all, "MaxTieToAll"),
    "ties: to the last": (tie_to_last, "MaxTieToLast"),
    "ties: shared, as torch.amax": (tie_shared, "MaxTieShared"),
    "mean pooling: derivative not divided": (mean_undivided, "MeanPoolingUndivided"),
    "mean over rows": (mean_over_rows, "MeanOverRows"),
    "sum in place of mean": (mean_forgotten, "LocalSum"),
    "state before input": (state_first, "StateBeforeInput"),
    "initial state ignored": (zero_state, "InitialStateIgnored"),
    "state detached": (detached_state, "DirectDerivative"),
    "last step alone": (last_step_alone, "TruncatedToLastStep"),
    "loss summed": (loss_summed, "LossBatchSum"),
    "wrong sign": (wrong_sign, "TargetSignFlipped"),
    "kernel transposed": (kernel_rows_and_columns_exchanged, "KernelTransposed"),
}
# mistakes that no flag names, with cases that find them
UNNAMED = {
    "padding repeats the edge": (padding_repeats_the_edge, ("rows/image", "adjoint/image")),
    "two steps back only": (two_steps_back_only, ("recurrence/last-step", "recurrence/all-steps")),
    "mean pooling counts one number less": (
        mean_divided_by_less,
        ("pooling/mean-overlap", "pooling/mean-gap"),
    ),
}
