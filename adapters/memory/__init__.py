"""Every port in memory: the reference for all other adapters."""
