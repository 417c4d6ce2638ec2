"""Long proofs: run with `make soak`, a short form of each is in the test suite."""
