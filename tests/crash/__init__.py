"""Power cuts, simulated: what was written and when, what may be on the disk, what opens from it."""
