"""Photoshop's image resources, which hold the IPTC fields: captions, keywords, copyright.

    block = descriptive(b"8BIM\\x04\\x04...")      # as in a JPEG's APP13 segments or a TIFF's tag 34377
    records = resources(block)[IPTC]              # IPTC-IIM, byte for byte

Adobe Photoshop File Formats Specification, "Image Resource Blocks".
"""

from __future__ import annotations

IPTC = 1028
XMP = 1060

# Texts: caption, IPTC, copyright flag, URL, list of URLs, digest of the IPTC fields. All others describe
# layout and editing of the old file.
_TEXTS = {1008, IPTC, 1034, 1035, 1054, 1061}


def resources(block: bytes) -> dict[int, bytes]:
    """Number -> content, the first of each; a damaged resource ends the list."""
    found: dict[int, bytes] = {}
    at = 0
    while block[at : at + 4] in (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR"):
        number = int.from_bytes(block[at + 4 : at + 6], "big")
        at += 6 + (block[at + 6] // 2 + 1) * 2 if at + 6 < len(block) else len(block)  # name, padded
        length = int.from_bytes(block[at : at + 4], "big")
        content = block[at + 4 : at + 4 + length]
        if len(content) < length:
            break
        found.setdefault(number, content)
        at += 4 + length + length % 2
    return found


def block(contents: dict[int, bytes]) -> bytes:
    """The resources as one block; b"" if there are none."""
    parts = []
    for number, content in contents.items():
        head = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(content).to_bytes(4, "big")
        parts += [head, content, b"\0" * (len(content) % 2)]
    return b"".join(parts)


def descriptive(raw: bytes, records: bytes = b"") -> bytes:
    """Only the texts of a block. records: IPTC-IIM found elsewhere, used if the block has none."""
    kept = {number: content for number, content in resources(raw).items() if number in _TEXTS}
    if records and IPTC not in kept:
        kept[IPTC] = records
    return block(kept)


def records_of(data: bytes, words: bool) -> bytes:
    """IPTC-IIM from a TIFF's tag. words: declared as 32-bit numbers, which some programs byte-swapped as
    such.
    """
    if words and data[:1] != b"\x1c" and data[3:4] == b"\x1c":
        data = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    return data if data[:1] == b"\x1c" else b""
