"""Benchmarks: each asks one question, and keeps the raw numbers of its answer.

    make bench                                       all of it, in under ten minutes
    python -m benchmarks [QUESTION ...] [--quick]    some of it; PARITY_PYTHON names a Python with
                                                     the official client, without which its rows
                                                     are left out
    python -m benchmarks --report                    write docs/benchmarks.md from what is there

The questions:

    requests    how many status requests a second, and what CPU time does one cost?
    one-job     how long does one small job take, from `process` to its output?
    waiting     10,000 jobs: how many requests a job, and how long until the end is noticed?
    many        what do 1,000, 10,000, 100,000 waiting jobs cost in memory and CPU time?
    submitting  how many files a second, and what memory does it take?
    importing   what does importing the package cost?

How it is done. Client and server are processes of their own, on a core of their own where the
machine has two. All variants run in each round, one after the other, so that what else the machine
does falls on all of them; the ratios are of medians over the rounds. CPU seconds are quoted beside
wall time, which on a shared machine swings. What is compared does the same work: the same request
with the same body over the same kind of connection, the answer parsed. Each question writes
`results/<question>.json`, with every single measurement and the versions of what was measured;
`docs/benchmarks.md` is made from those files and from nothing else. A question that was asked
already is asked again only if it is named, or with `--again`.
"""
