"""Everything that the use cases need of the world. Adapters stand behind these names.

Whatever is written here is set-based: one call for a whole batch. Any call may raise what `application.errors` has.
"""
