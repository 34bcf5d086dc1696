"""Networks and their layers.

Nothing here knows about files or losses; only the norms exchange statistics between processes.
"""
