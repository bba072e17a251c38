"""What a page says that a program prints, without what differs from run to run."""

from __future__ import annotations

import re

__all__ = ["steady"]


def steady(printed):
    """Return *printed* with moments and durations replaced: counts, sizes and values stay."""
    without_moments = re.sub(r"just now|[\d.]+ (s|min|h) ago", "then", printed)
    return re.sub(r"saved_s=[\d.]+", "saved_s=some", without_moments).strip()
