"""Side-by-side benchmarks of objcache: `python -m bench`.

Knows: engines by their adapters, workloads, and how to time them in turns. Must not know: how
any engine works inside.
"""
