"""What lives on disk: photographs, masks, training samples, checkpoints and reports."""
