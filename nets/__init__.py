"""What lives on the device: the networks and their layers. Nothing here knows of files, losses or other
processes.
"""
