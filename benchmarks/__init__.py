"""Benchmarks: the time of this package and of other libraries, compared with the time of the products alone.

    problem     the step that all libraries take: the standard autoencoder, its settings, five methods
    peers/      the libraries: this package, jax.jit, eager PyTorch, the PyPI package `locoprop`
    floor       the matrix products and factorizations of a step, and nothing else
    worker      one library in a separate process, without BLAS environment variables
    measure     interleaved rounds, medians and their intervals
    memory      peak memory of a step, and its count by a formula
    wired       the steps of networks with positions: LeNet-5, a recurrent network, three methods
    wired_floor their products and factorizations
    layers      `make bench-layers`: these networks in all libraries
    table       `make bench`: all libraries and methods, and start-up times
    scaling     dependence on width, depth, batch and K: time, share of the floor, memory, exponents
    gram        LocoProp-S with the Gram matrix: counted products and measured time
    profile     processor time of each part of a step
    compare     `make bench-compare`: comparison with a saved baseline, by shares of the floor

Run `python -m benchmarks --help` from the repository's root.
"""
