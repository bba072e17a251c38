"""objcache beside other libraries, each in a module of its own that imports it.

Knows: what stores, caches and memoized functions tell. Must not know: their inside. Nothing is
imported here: `objcache.integrations.prometheus` needs the extra `prometheus`,
`objcache.integrations.opentelemetry` the extra `opentelemetry`.
"""

__all__: list[str] = []
