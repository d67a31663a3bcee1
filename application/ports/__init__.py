"""Everything that the use cases need from outside, as Protocols. Adapters implement them.

The ports are set-based: one call takes a whole batch. Any call may raise the errors in `application.errors`.
"""
