"""Settings, the container, and thin programs: what a person or a server starts."""
