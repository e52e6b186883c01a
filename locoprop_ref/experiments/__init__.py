"""Many runs: comparisons, searches for hyper-parameters, and the demonstration."""
