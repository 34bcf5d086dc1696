"""Synthetic damage (defects.KINDS: surface, breaks, tears, emulsion; holes), ageing, whole scans (scans,
prints, furniture, lettering, reproductions) and hard negatives (lookalikes, faces); shares says how often;
drawn with canvas and textures.
"""
