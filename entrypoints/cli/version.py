def version() -> str:
    """As pyproject.toml states it."""
    # Only this one option needs the library.
    from importlib import metadata

    return metadata.version("holdfast")
