"""What containers promise, over the product of their settings, against plain models."""
