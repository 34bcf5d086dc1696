"""The order of events: commands, their options, processes, training, the loop over photographs."""

VERSION = "0.1.0"
PROGRAM = f"photo-restore {VERSION}"
