"""What a full cache keeps: hit ratios of policies on recorded traces, `python -m bench.eviction`.

Knows: traces, caches by what opens them, and how to replay one through the other. Must not know:
how any cache works inside.
"""
