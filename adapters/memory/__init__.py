"""Every port in memory: the reference that the other adapters are held against."""
