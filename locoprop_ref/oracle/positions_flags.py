"""Flags of layers with positions or steps; each effect says where to look, and how to mend it."""

from locoprop_ref.oracle.flag import bug, variant

# fmt: off
FLAGS = (
    # rows and their numbers
    variant("RowsByExample", {"row_order": "example, position"},
        "the rows of a layer are ordered (example, position)",
        "Sums over rows do not change. Look at the reshape that makes the rows; for the order of the "
        "vectors, put the axis of the positions before that of the examples."),
    bug("ExampleReversed", {"example_order": "reversed"},
        "a flat image is read as (row, column, channel), a flat sequence as (number, step)",
        "Every layer sees scrambled numbers. Look where a flat example gets its shape; reshape it to "
        "(channels, height, width) or (steps, numbers), and transpose afterwards if the library wants "
        "channels last."),
    bug("PatchChannelsLast", {"patch_order": "row, column, channel"},
        "a row of patches runs (kernel row, kernel column, channel)",
        "The weights meet the wrong numbers. Look at the reshape of a kernel to W; TensorFlow and JAX "
        "keep (row, column, channel, output), so transpose to (channel, row, column, output) before the "
        "reshape."),
    bug("KernelTransposed", {"patch_order": "channel, column, row"},
        "a row of patches runs (channel, kernel column, kernel row)",
        "The weights meet transposed patches. Look at a reshape in a language whose first index is the "
        "fastest (Fortran, Julia, MATLAB), or at exchanged loops; put the rows of the kernel before its "
        "columns."),
    bug("KernelFlipped", {"kernel": "flipped"},
        "the kernel is flipped (a true convolution in place of cross-correlation)",
        "The weights meet mirrored patches. Look at the function that convolves (SciPy's and NumPy's "
        "convolve flip); use its correlation, or flip the kernel on both axes once more."),
    bug("PaddingAtEnd", {"padding_place": "all at the end"},
        "all padding stands below and to the right of the image",
        "Patches are displaced by the padding. Look at the argument of the pad function; pad both sides "
        "of rows and columns, as (padding, padding)."),
    bug("PaddingBeforeOnly", {"padding_place": "before only"},
        "padding stands above and to the left of the image only",
        "Patches at the end of rows and columns are missing. Look at the argument of the pad function; "
        "pad both sides of rows and columns, as (padding, padding)."),
    bug("StrideIgnored", {"stride": "ignored"},
        "the stride is ignored: patches begin at every number, windows of a pooling one size apart",
        "The number of positions is wrong. Look whether the stride reaches the loop or the library's "
        "function, whose default is 1 for patches and the size for pooling."),
    bug("FlattenChannelsLast", {"flatten_order": "channels last"},
        "a dense layer above positions reads (position, channel), above steps (step, unit)",
        "Its weights meet the wrong numbers. Look at the reshape before the first dense layer; transpose "
        "to channels first (for steps: units first) before it."),
    bug("BiasFirst", {"bias_row": "first"},
        "the input that is always 1 stands first in a row, while the bias is the last row of W",
        "Every weight meets its neighbour's input. Look where the column of ones is appended; put it "
        "last."),
    # pooling
    variant("MaxTieToLast", {"max_ties": "last"},
        "the derivative of a maximum goes to the last of the largest numbers",
        "Matters at ties only. Look at the comparison of the loop (>= in place of >) or at argmax from "
        "the end."),
    bug("MaxTieToAll", {"max_ties": "all"},
        "the derivative of a maximum goes to each of the largest numbers in full",
        "At ties the derivative is too large. Look for a mask `y == max`; take the first of the largest, "
        "as argmax does."),
    variant("MaxTieShared", {"max_ties": "shared"},
        "the derivative of a maximum is shared equally among the largest numbers",
        "As in torch.amax and jax.numpy.max; matters at ties only. For the order of the vectors use "
        "max_pool2d or argmax."),
    bug("MeanPoolingUndivided", {"mean_pooling": "not divided"},
        "the derivative of mean pooling is not divided by the numbers of a window",
        "Gradients below a pooling are size^2 times too large. Look at the way back of the pooling; "
        "divide by size^2 there, too."),
    # the local problem of many rows
    bug("MeanOverRows", {"mean_over": "rows"},
        "the mean of the local loss is taken over rows in place of examples",
        "Layers with positions or steps learn too slowly, by the number of positions. Look at `len(x)` or"
        " `.mean()` of the local loss; divide the sum over the rows by the number of examples.",
        local_reduction="mean"),
    # recurrence
    bug("StateBeforeInput", {"recurrent_input": "[h, x]"},
        "the rows of a recurrent layer are [h, x] in place of [x, h]",
        "The weights of input and state are mixed up. Look where x_t and h_{t-1} are joined; put x_t "
        "first, as the first rows of W belong to it."),
    bug("InitialStateIgnored", {"initial_state": "zeros"},
        "the given initial state is ignored, and recurrence begins with zeros",
        "Every step is wrong, the first one most. Look at the state before the loop over steps; begin "
        "with h0_m."),
    bug("TruncatedToLastStep", {"through_time": "last step"},
        "backpropagation through time stops at the last step, and g of all other steps is zero",
        "Earlier steps do not learn. Look for a detach of the state, or a loop that runs back one step "
        "only; add g_{t+1} W_h^T to what comes from above at every step."),
    bug("DirectDerivative", {"through_time": "direct"},
        "g of a step is its direct derivative only, without what later steps pass back",
        "g lacks the way through the state. Look at the loop back through time, or for a detach of the "
        "state; add g_{t+1} W_h^T to what comes from above at every step."),
)
# fmt: on
