"""What lives on the device: the networks and their layers, and in `ops` tensor operations without parameters.

Nothing here knows of files, losses or other processes.
"""
