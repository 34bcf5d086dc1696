"""Networks, their layers, and (in `ops`) tensor operations without parameters.

Nothing here knows about files, losses or other processes.
"""
