"""How often training samples of the segment stage are what: all shares in one table, each with its reason."""

# Of the samples that are not labelled photographs
OLD_SCAN_SHARE = (
    0.12  # a crop of `negatives/`: real borders and mounts, but few photographs, soon known by heart
)
SCAN_SHARE = (
    0.4  # composed as a whole scan: most scans show a border or a mount, few of their crops more than one
)
HARD_NEGATIVE_SHARE = 0.5  # with content that looks like damage: what costs most on undamaged photographs
CLEAN_SHARE = 0.4  # without damage: what is sound must be known as well as what is not
NEW_SHARE = 0.25  # not aged at all: sharp new photographs are not damaged either

# Of the samples that are labelled photographs
PASTED_SHARE = 0.6  # their damage alone, on another photograph: real damage is rare, and learnt by heart
PASTED_ON_OLD_SHARE = 0.2  # of these, on a crop of `negatives/`: real damage on a real border
PASTED_ON_SCAN_SHARE = 0.3  # of the rest, on a composed scan

# Of the samples with damage
SINGLE_SHARE = 0.2  # one kind of damage alone: each must be known without the others
ON_GLASS_SHARE = 0.12  # of the scans: damage beyond the paper as well, as dust on the scanner's glass
TORN_AT_EDGES = 2.5  # how much oftener paper is torn where its edge is in the picture

# Crops of `negatives/`: old and framed already; half of them without damage, as nothing else is as real
ON_OLD_SCANS = {"clean_share": 0.5, "negative_share": 0.15, "new_share": 0.6, "scan_share": 0.0}
