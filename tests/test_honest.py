"""Files say what was done to them, and keep what they said before."""

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import save, square
from PIL import Image

import colorize
import engine
import inpaint
import restore
from data import checkpoint, xmp
from data.photo import Photo, encode, read_photo

FORMATS = {"PNG": "png", "TIFF": "tif", "JPEG": "jpg", "WEBP": "webp"}
TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"

# As a scanner's and a picture editor's programs leave it: properties as attributes and as elements.
PACKET = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Some Editor">\
<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<r:Description r:about="uuid:7" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"\
 tiff:Orientation="6" tiff:Make="Epson"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"\
 xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<xmpMM:History><r:Seq><r:li stEvt:action="saved" stEvt:softwareAgent="Some Editor"/></r:Seq></xmpMM:History>
<dc:description xmlns:dc="http://purl.org/dc/elements/1.1/">
<r:Alt><r:li xml:lang="x-default">Gro\xc3\x9fmutter &amp; Hund</r:li></r:Alt></dc:description>
<dc:subject xmlns:dc="http://purl.org/dc/elements/1.1/"><r:Bag><r:li>1943</r:li></r:Bag></dc:subject>
<ext:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/print</ext:DigitalSourceType>
<tiff:ImageWidth>10</tiff:ImageWidth>
</r:Description></r:RDF></x:xmpmeta>
<?xpacket end="w"?>\0\0"""


def properties(packet):
    """Name -> values of the picture's properties, texts of arrays and the events of the
    history among them.
    """
    root, found = ElementTree.fromstring(packet), {}
    # all speak of one thing
    assert len({subject.get(f"{RDF}about") for subject in root.iter(f"{RDF}Description")}) == 1
    for subject in root.iter(f"{RDF}Description"):
        for name, value in subject.attrib.items():
            found.setdefault(name, []).append(value)
        for node in subject:
            items = list(node.iter(f"{RDF}li"))
            found.setdefault(node.tag, []).append(
                [item.attrib or item.text for item in items] if items else node.text
            )
    return {name.split("}")[1]: values for name, values in found.items()}


def test_a_packet_from_nothing():
    found = properties(xmp.stamp(None, "Restored <&> colored", "photo-restore 9; x weights ab"))
    assert found["DigitalSourceType"] == [TYPE] == [xmp.SOURCE_TYPE]
    assert found["AISystemUsed"] == ["photo-restore"]
    assert found["AISystemVersionUsed"] == ["photo-restore 9; x weights ab"]
    assert found["History"] == [
        [
            {
                f"{EVENT}action": "edited",
                f"{EVENT}softwareAgent": "photo-restore 9; x weights ab",
                f"{EVENT}parameters": "Restored <&> colored",
            }
        ]
    ]


def test_what_was_said_stays_and_ours_is_added():
    kept = xmp.clean(PACKET)
    found = properties(kept)
    assert "Orientation" not in found
    assert "ImageWidth" not in found
    assert found["Make"] == ["Epson"]
    assert found["DigitalSourceType"] == ["http://cv.iptc.org/newscodes/digitalsourcetype/print"]
    stamped = properties(xmp.stamp(kept, "Restored", "tool 1"))
    for name in ("Make", "Rating", "subject", "about"):
        assert stamped[name][: len(found[name])] == found[name]
    assert stamped["DigitalSourceType"] == [TYPE]  # no longer a mere print
    assert [event[f"{EVENT}softwareAgent"] for event in stamped["History"][0]] == ["Some Editor", "tool 1"]
    text = xmp.stamp(kept, "Restored", "tool 1").decode()
    assert "Großmutter &amp; Hund; Restored" in text
    assert "<r:RDF" in text
    assert text.startswith('<?xpacket begin="\ufeff"')


@pytest.mark.parametrize(
    "form",
    [
        ' d:description="Found &amp; kept"/>',
        "><d:description>Found &amp; kept</d:description></r:Description>",
    ],
)
def test_a_plain_description_becomes_the_first_text_of_the_only_one(form):
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<r:Description r:about="" xmlns:d="http://purl.org/dc/elements/1.1/"{form}</r:RDF></x:xmpmeta>'
    )
    stamped = xmp.stamp(xmp.clean(packet), "Restored", "tool 1").decode()
    assert stamped.count(":description") == 2  # one element: its beginning and its end
    assert "Found &amp; kept; Restored</" in stamped


def test_twice_restored_is_said_once_in_words_and_twice_in_the_history():
    packet = xmp.stamp(xmp.stamp(xmp.clean(PACKET), "Restored", "tool 1"), "Restored", "tool 2")
    found = properties(packet)
    assert packet.decode().count("; Restored") == 1
    assert len(found["History"][0]) == 3
    assert found["AISystemVersionUsed"] == ["tool 2"]
    assert found["DigitalSourceType"] == [TYPE]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0",
        b"text",
        b"<a/>",
        b"<a",
        b"\xff\xfe",
        PACKET[:300],
        b'<?xml version="1.0" encoding="no"?><a/>',
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + PACKET,
    ],
)
def test_damaged_packets_are_refused(packet):
    with pytest.raises(ValueError):
        xmp.clean(packet)


@pytest.mark.parametrize("format", FORMATS)
def test_a_packet_goes_through_every_format(portrait, format):
    photo = Photo(portrait[:20, :30], xmp=xmp.clean(PACKET))
    for pixels in (photo.pixels, photo.pixels[..., 0]):
        data = encode(pixels, photo, format)
        again = read_photo(data)
        assert properties(again.xmp) == properties(photo.xmp)
        assert not again.notes
        stamped = encode(pixels, photo, format, "Restored", "tool 1")
        with Image.open(io.BytesIO(stamped)) as image:  # as other programs find it
            image.load()
            packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or image.tag_v2[700]
        assert properties(packet)["DigitalSourceType"] == [TYPE]
        assert properties(packet)["Rating"] == ["5"]
        assert read_photo(encode(pixels, None, format)).xmp is None


def _but_about(packet):
    return {name: values for name, values in properties(packet).items() if name != "about"}


def test_a_packet_too_long_for_a_segment_is_split_in_jpeg(portrait):
    """Our own statement stands in the first part, where programs that know no extended XMP look."""
    long = xmp.stamp(None, "x" * 200_000, "tool 0")
    photo = Photo(portrait[:20, :30], xmp=long)
    assert _but_about(read_photo(encode(photo.pixels, photo, "JPEG")).xmp) == _but_about(long)
    data = encode(photo.pixels, photo, "JPEG", "Restored", "tool 1")
    with Image.open(io.BytesIO(data)) as image:
        assert properties(image.info["xmp"])["DigitalSourceType"] == [TYPE]
    found = properties(read_photo(data).xmp)
    assert found["AISystemVersionUsed"] == ["tool 1"]
    assert b"x" * 200_000 + b"; Restored" in read_photo(data).xmp


def test_damaged_packets_do_not_cost_the_photo(portrait):
    file = io.BytesIO()
    Image.fromarray(portrait[:20, :30]).save(file, "WEBP", xmp=b"<broken")
    photo = read_photo(file.getvalue())
    assert photo.xmp is None
    assert len(photo.notes) == 1
    assert photo.notes[0].startswith("damaged XMP")
    assert photo.notes[0].endswith("dropped")


# ------------------------------------------------------------------------------------------ restore.py


def source(path, portrait):
    """A scan with metadata of a scanner and an archivist."""
    exif = Image.Exif()
    exif[270], exif[305], exif[315], exif[33432] = "Grandmother, 1943", "Scanner 3", "A. Photographer", "free"
    exif[0x8769] = {36867: "1999:01:02 03:04:05"}
    photo = Photo(portrait[40:88, 80:144], exif=exif.tobytes(), xmp=xmp.clean(PACKET))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(photo.pixels, photo, "TIFF"))
    return path


def tags(path):
    exif = Image.Exif()
    exif.load(read_photo(path).exif)
    return exif


@pytest.mark.parametrize("format, ending", FORMATS.items())
def test_results_say_what_was_done(tmp_path, portrait, tiny_weights, format, ending):
    path, mask = source(tmp_path / "scan.tif", portrait), save(tmp_path / "m.png", square())
    weights = [word for stage, file in tiny_weights.items() for word in (f"--{stage}-weights", str(file))]
    words = [
        str(path),
        str(tmp_path / "out"),
        "--mask",
        str(mask),
        "--format",
        ending,
        "--device",
        "cpu",
        *weights,
    ]
    assert restore.main(words) == 0
    sums = {stage: checkpoint.fingerprint(file) for stage, file in tiny_weights.items()}
    for part, stages in (
        ("restored", ["inpaint"]),
        ("color", ["colorize"]),
        ("restored_color", ["inpaint", "colorize"]),
    ):
        result = tmp_path / f"out/scan_{part}.{ending}"
        found, exif = properties(read_photo(result).xmp), tags(result)
        tool = "; ".join([engine.PROGRAM, *(f"{stage} weights {sums[stage]}" for stage in stages)])
        remark = "; ".join(
            [inpaint.REMARK] * ("inpaint" in stages) + [colorize.REMARK] * ("colorize" in stages)
        )
        assert found["DigitalSourceType"] == [TYPE]
        assert found["AISystemVersionUsed"] == [tool]
        assert found["History"][0][-1][f"{EVENT}parameters"] == remark
        assert found["Rating"] == ["5"]
        assert exif[270] == f"Grandmother, 1943; {remark}"
        assert exif[11] == tool
        assert (exif[305], exif[315], exif[33432]) == ("Scanner 3", "A. Photographer", "free")
        assert exif.get_ifd(0x8769)[36867] == "1999:01:02 03:04:05"
    assert "estimated" in colorize.REMARK
    report = json.loads((tmp_path / "out/scan.json").read_text())
    assert report["program"] == engine.PROGRAM
    assert engine.PROGRAM.startswith("photo-restore ")


def test_a_photo_in_which_nothing_was_painted_is_not_called_restored(tmp_path, portrait, tiny_weights):
    path, mask = (
        source(tmp_path / "scan.tif", portrait),
        save(tmp_path / "m.png", np.zeros((48, 64), np.uint8)),
    )
    weights = [word for stage, file in tiny_weights.items() for word in (f"--{stage}-weights", str(file))]
    assert (
        restore.main([str(path), str(tmp_path / "out"), "--mask", str(mask), "--device", "cpu", *weights])
        == 0
    )
    found, exif = (
        properties(read_photo(tmp_path / "out/scan_restored.tif").xmp),
        tags(tmp_path / "out/scan_restored.tif"),
    )
    assert found == properties(xmp.clean(PACKET))
    assert exif[270] == "Grandmother, 1943"
    assert 11 not in exif
    assert tags(tmp_path / "out/scan_restored_color.tif")[270] == f"Grandmother, 1943; {colorize.REMARK}"
