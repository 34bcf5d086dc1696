"""How often the training samples of the segment stage contain what: all shares, each with its reason."""

# Share of the samples that are not labelled photographs
OLD_SCAN_SHARE = 0.12  # crops of `negatives/`: real borders and mounts, but few, and soon memorized
SCAN_SHARE = 0.4  # composed as a whole scan: most scans show a border or a mount, few crops more than one
HARD_NEGATIVE_SHARE = 0.5  # with content that looks like damage, the main source of false detections
CLEAN_SHARE = 0.4  # without damage, so that intact content is learned as well
NEW_SHARE = 0.25  # not aged, since sharp new photographs are not damaged either

# Share of the samples that are labelled photographs
SCALES = (0.6, 2.0)  # of most of them
COARSE_SHARE, COARSE_SCALES = 0.25, (0.3, 0.6)  # the rest: wide damage is looked for at a coarse scale too
PASTED_SHARE = 0.6  # their damage on another photograph, since real damage is rare and soon memorized
PASTED_ON_OLD_SHARE = 0.2  # of these, on a crop of `negatives/`: real damage on a real border
PASTED_ON_SCAN_SHARE = 0.3  # of the rest, on a composed scan

# Share of the samples with damage
SINGLE_SHARE = 0.2  # with a single kind of damage, so that each is learned without the others
ON_GLASS_SHARE = 0.12  # of the scans, with damage outside the paper too, like dust on the scanner's glass
TORN_AT_EDGES = 2.5  # factor by which torn paper is more frequent where its edge is in the picture

# Crops of `negatives/` are already old and framed; half stay undamaged, since nothing else is as realistic
ON_OLD_SCANS = {"clean_share": 0.5, "negative_share": 0.15, "new_share": 0.6, "scan_share": 0.0}

# Share of the crops of clean photographs
ENLARGED_SHARE = 0.4  # enlarged up to 2.5 times, so that eyes and stripes are as large as in a good scan
SHARPENED_SHARE = 0.7  # of these, sharpened, since a good scan is sharp
ROTATED_SHARE = 0.3  # rotated by 90, 180 or 270 degrees
