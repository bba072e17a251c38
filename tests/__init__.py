"""Tests of objcache, by guarantee."""
