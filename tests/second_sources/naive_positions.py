"""Second source of layers with positions: example by example and number by number, in complex arithmetic.

Nothing here knows of rows, tables or memory order. Images are (channels, height, width), sequences (steps,
d). The functions are analytic but for the maximum, which goes by the real parts, so that a complex step gives
derivatives to the last digit.
"""

import numpy as np

F = {"tanh": np.tanh, "identity": lambda a: a, "sigmoid": lambda a: 1 / (1 + np.exp(-a))}


def patch(image, i, j, size, stride, padding):
    """The numbers under the kernel at output position (i, j), (channels, size, size)."""
    channels, height, width = image.shape
    found = np.zeros((channels, size, size), dtype=image.dtype)
    for c in range(channels):
        for p in range(size):
            for q in range(size):
                row, column = i * stride + p - padding, j * stride + q - padding
                if 0 <= row < height and 0 <= column < width:
                    found[c, p, q] = image[c, row, column]
    return found


def output_size(length, size, stride, padding):
    return (length + 2 * padding - size) // stride + 1


def convolve(image, W, b, f, size, stride=1, padding=0):
    """f of the convolution with the kernels in the columns of W: (d_out, height', width')."""
    height, width = (output_size(n, size, stride, padding) for n in image.shape[1:])
    out = np.zeros((W.shape[1], height, width), dtype=complex)
    for i in range(height):
        for j in range(width):
            numbers = patch(image, i, j, size, stride, padding).reshape(-1)
            for k in range(W.shape[1]):
                out[k, i, j] = F[f](sum(numbers * W[:, k]) + b[k])
    return out


def pooled(image, size, kind, stride=None):
    """Mean or maximum (the first of the largest) of every window."""
    stride = stride or size
    height, width = (output_size(n, size, stride, 0) for n in image.shape[1:])
    out = np.zeros((image.shape[0], height, width), dtype=complex)
    for c in range(image.shape[0]):
        for i in range(height):
            for j in range(width):
                window = patch(image, i, j, size, stride, 0)[c].reshape(-1)
                out[c, i, j] = sum(window) / size**2 if kind == "mean" else window[np.argmax(window.real)]
    return out


def recurrent(sequence, W, b, f, start):
    """Outputs of all steps, (steps, d_out): h_t = f([x_t, h_{t−1}] W + b)."""
    h, found = start.astype(complex), []
    for x in sequence:
        numbers = np.concatenate([x, h])
        h = np.array([F[f](sum(numbers * W[:, k]) + b[k]) for k in range(W.shape[1])])
        found.append(h)
    return np.array(found)


def dense(numbers, W, b, f):
    return np.array([F[f](sum(numbers * W[:, k]) + b[k]) for k in range(W.shape[1])])


def derivative(value, numbers, h=1e-30):
    """Derivative of an analytic function with respect to every number, by complex steps."""
    slope = np.zeros(numbers.shape)
    for place in np.ndindex(numbers.shape):
        moved = numbers.astype(complex)
        moved[place] += 1j * h
        slope[place] = value(moved).imag / h
    return slope
