"""The line format."""
