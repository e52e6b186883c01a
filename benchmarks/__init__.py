"""How fast: this package beside the same algorithm in other libraries, over the products that it needs.

    problem     the step that everybody takes: the standard deep autoencoder, its settings, the five methods
    peers/      who takes it: this package, jax.jit, eager PyTorch, the PyPI package `locoprop`
    floor       the matrix products and factorisations of a step, and nothing else
    worker      one peer in a process of its own, without BLAS environment variables
    measure     interleaved rounds, medians and their intervals
    memory      peak memory of a step, beside the count by formula
    table       `make bench`: everybody, every method, start-up times
    scaling     width, depth, batch, K: time, share of the floor, memory, exponents
    gram        LocoProp-S through the Gram matrix: what the count of products says, what the clock says
    compare     `make bench-compare`: a saved baseline against now, by shares of the floor

Run `python -m benchmarks --help` from the repository's root.
"""
