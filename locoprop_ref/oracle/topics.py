"""The topics of the oracle, in the order in which an implementation is usually built."""

# topic: a description of what a target returns (FORMAT.md gives names and shapes)
TOPICS = {
    "transfer": "transfer functions: f, and f' or the vector-Jacobian product",
    "integral": "convex integrals F of the transfer functions",
    "inverse": "inverses of the strictly increasing transfer functions",
    "conjugate": "convex conjugates F* of the integrals",
    "matching_loss": "matching losses (Bregman divergences of F)",
    "output_loss": "network losses and their g",
    "network": "forward and backward pass: post-activation and g of every layer",
    "target": "local targets of S and M",
    "first_step": "first local gradient of every layer, target_step times the gradient of the network loss",
    "closed_form": "S solved in closed form",
    "local_steps": "S and M after K local steps",
    "exact": "M solved exactly",
    "optimizer": "first-order optimizers, a dozen steps",
    "training": "whole training steps of a network over several batches",
    "rows": "rows of a layer with positions or steps: patches, steps of a sequence",
    "adjoint": "the way back from the rows to the layer below",
    "pooling": "mean and maximum of windows, and their derivatives",
    "convolution": "convolutional networks: forward and backward pass, gradients",
    "convolution_local": "convolutional networks: local targets, first local gradient",
    "convolution_training": "convolutional networks: whole training steps",
    "recurrence": "recurrent networks: forward pass, backward pass through time, gradients",
    "recurrence_local": "recurrent networks: local targets, first local gradient",
    "recurrence_training": "recurrent networks: whole training steps",
}
