"""Commands and their options, processes, training, and the loop over photographs."""

VERSION = "0.1.0"
PROGRAM = f"photo-restore {VERSION}"
