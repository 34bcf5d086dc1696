"""Everything on disk: photographs, masks, training data, weights, reports."""
