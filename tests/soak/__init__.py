"""Proofs in their long form, one program each: `make soak`, or `python -m tests.soak.NAME`.

Each takes --seed, --runs and --seconds (it ends at whichever comes first) and ends with one line
that begins with its name: what was done, and what was found. Exit status 0: nothing was found.
"""
