"""Networks and their layers.

Nothing here knows about files, losses or other processes.
"""
