"""XMP packets: what is kept of them, and the statement that a trained model changed the picture (ISO
16684-1).

    kept = clean(packet)  # of the input, without the properties of the old file's layout
    packet = stamp(kept, "Colours estimated ...", "photo-restore 0.1.0 ...")

Existing properties stay, in their own prefixes; new ones are added.
"""

from __future__ import annotations

from xml.dom import minidom
from xml.parsers.expat import ExpatError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
TIFF = "http://ns.adobe.com/tiff/1.0/"
EXIF = "http://ns.adobe.com/exif/1.0/"
NOTE = "http://ns.adobe.com/xmp/note/"
HISTORY = "http://ns.adobe.com/xap/1.0/mm/"
EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

# IPTC's term for a photograph parts of which were made by a trained model (newscodes, digitalsourcetype).
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

# Properties of the old file only: results are upright and have a layout of their own.
_LAYOUT = [
    (TIFF, name)
    for name in (
        "Orientation",
        "ImageWidth",
        "ImageLength",
        "BitsPerSample",
        "Compression",
        "PhotometricInterpretation",
        "SamplesPerPixel",
        "PlanarConfiguration",
        "XResolution",
        "YResolution",
        "ResolutionUnit",
        "YCbCrSubSampling",
        "YCbCrPositioning",
    )
]
_LAYOUT += [(EXIF, "PixelXDimension"), (EXIF, "PixelYDimension"), (NOTE, "HasExtendedXMP")]
_OURS = [(IPTC, "DigitalSourceType"), (IPTC, "AISystemUsed"), (IPTC, "AISystemVersionUsed")]

_EMPTY = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description '
    f'rdf:about=""/></rdf:RDF></x:xmpmeta>'
)


def clean(packet: bytes | str) -> bytes:
    """The packet without the properties of the old file's layout. Raises ValueError if it is not XMP."""
    document = _parse(packet)
    _drop(document, _LAYOUT)
    return _write(document)


def stamp(packet: bytes | None, remark: str, tool: str) -> bytes:
    """The packet (from `clean`, or None) with the statement that a trained model made part of the picture.

    remark: a sentence for people, added to the description. tool: program, version and weights, added to the
    history. Existing properties stay, except an earlier source type and AI system, which no longer apply.
    """
    document = _parse(packet or _EMPTY)
    _drop(document, _OURS)
    _describe(
        document,
        {
            "xmlns:Iptc4xmpExt": IPTC,
            "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
            "Iptc4xmpExt:AISystemUsed": tool.split()[0],
            "Iptc4xmpExt:AISystemVersionUsed": tool,
        },
    )

    languages = _array(document, DC, "dc:description", "rdf:Alt")
    texts = languages.getElementsByTagNameNS(RDF, "li")
    text = texts[0] if texts else languages.appendChild(_item(document, {"xml:lang": "x-default"}))
    before = "".join(node.data for node in text.childNodes if node.nodeType == node.TEXT_NODE)
    if remark not in before:
        text.appendChild(document.createTextNode(f"; {remark}" if before else remark))

    event = {
        "xmlns:stEvt": EVENT,
        "stEvt:action": "edited",
        "stEvt:softwareAgent": tool,
        "stEvt:parameters": remark,
    }
    _array(document, HISTORY, "xmpMM:History", "rdf:Seq").appendChild(_item(document, event))
    return _write(document)


def _parse(packet: bytes | str) -> minidom.Document:
    """Raises ValueError if it is not XML, has no RDF, or has a document type (which could define endless
    entities).
    """
    data = packet.encode() if isinstance(packet, str) else packet
    if b"<!DOCTYPE" in data:
        raise ValueError("XMP with a document type")
    try:
        document = minidom.parseString(data.strip(b"\0 \r\n\t"))
    except (ExpatError, ValueError, LookupError) as error:  # LookupError: unknown encoding
        raise ValueError(f"damaged XMP ({error})") from None
    if not _subjects(document):
        raise ValueError("XMP without a description")
    return document


def _write(document: minidom.Document) -> bytes:
    wrapped = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{}<?xpacket end="w"?>'  # ISO 16684-1, 7.3.2
    )
    return wrapped.format(document.documentElement.toxml()).encode()


def _subjects(document: minidom.Document) -> list[minidom.Element]:
    """The descriptions of the picture itself; each has some of its properties as attributes or elements."""
    return [
        node
        for rdf in document.getElementsByTagNameNS(RDF, "RDF")
        for node in rdf.childNodes
        if (node.namespaceURI, node.localName) == (RDF, "Description")
    ]


def _drop(document: minidom.Document, properties: list[tuple[str, str]]) -> None:
    for subject in _subjects(document):
        for namespace, name in properties:
            if subject.hasAttributeNS(namespace, name):
                subject.removeAttributeNS(namespace, name)
            for node in [n for n in subject.childNodes if (n.namespaceURI, n.localName) == (namespace, name)]:
                subject.removeChild(node)


def _element(document: minidom.Document, name: str, attributes: dict[str, str]) -> minidom.Element:
    element = document.createElementNS(RDF if name.startswith("rdf:") else None, name)
    for key, value in attributes.items():
        element.setAttribute(key, value)
    return element


def _item(document: minidom.Document, attributes: dict[str, str]) -> minidom.Element:
    return _element(
        document, "rdf:li", {"xmlns:rdf": RDF, **attributes}
    )  # the packet may use another prefix for RDF


def _describe(document: minidom.Document, properties: dict[str, str]) -> minidom.Element:
    """A new description of the picture, with the same name as the others, as required."""
    first = _subjects(document)[0]
    attributes = {"xmlns:rdf": RDF, "rdf:about": first.getAttributeNS(RDF, "about"), **properties}
    return first.parentNode.appendChild(_element(document, "rdf:Description", attributes))


def _array(document: minidom.Document, namespace: str, name: str, kind: str) -> minidom.Element:
    """The array (rdf:Alt, rdf:Seq, ...) of a property of this namespace, created if missing."""
    prefix, local = name.split(":")
    for subject in _subjects(document):
        for node in subject.childNodes:
            if (node.namespaceURI, node.localName) == (namespace, local):
                for array in node.childNodes:
                    if array.namespaceURI == RDF:
                        return array
    holder = _describe(document, {}).appendChild(_element(document, name, {f"xmlns:{prefix}": namespace}))
    return holder.appendChild(_element(document, kind, {}))
