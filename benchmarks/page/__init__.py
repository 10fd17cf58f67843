"""The page: one module per section, each with ``bars(part)`` and ``render(part, images)``."""
