"""XMP packets (ISO 16684-1): what is kept, and the statement that a trained model changed the picture.

    kept = clean(packet)  # of the input, without the properties of the old file's layout
    packet = stamp(kept, "Colors estimated ...", "photo-restore 0.1.0 ...")

Existing properties stay, in their own prefixes; new ones are added.
"""

from __future__ import annotations

import hashlib
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

_EXTENDED = NOTE, "HasExtendedXMP"  # GUID of the part that does not fit into a JPEG's first segment

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
_LAYOUT += [(EXIF, "PixelXDimension"), (EXIF, "PixelYDimension"), _EXTENDED]
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


def stamp(packet: bytes | None, remark: str, tool: str, trained: bool = True) -> bytes:
    """The packet (from `clean`, or None) with the statement that a trained model made part of the picture.

    remark: a sentence for people, added to the description. tool: program, version and weights, added to the
    history. Existing properties stay, except an earlier source type and AI system, which no longer apply.
    trained: False if no model was used; then only description and history are changed.
    """
    document = _parse(packet or _EMPTY)
    if trained:
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
    before = _text(text)
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


def extension(packet: bytes | str) -> str:
    """GUID of the extended part named in a JPEG's packet; "" if none. Raises ValueError if it is not XMP."""
    for subject in _subjects(_parse(packet)):
        if subject.hasAttributeNS(*_EXTENDED):
            return subject.getAttributeNS(*_EXTENDED)
        for node in subject.getElementsByTagNameNS(*_EXTENDED):
            return _text(node)
    return ""


def merge(packet: bytes | str, extended: bytes) -> bytes:
    """Both parts of a packet as one. Raises ValueError if one of them is not XMP."""
    document = _parse(packet)
    first = _subjects(document)[0]
    for subject in _subjects(_parse(extended)):
        subject.setAttributeNS(RDF, f"{subject.prefix}:about", first.getAttributeNS(RDF, "about"))
        first.parentNode.appendChild(document.importNode(_with_namespaces(subject), True))
    return _write(document)


def split(packet: bytes, limit: int) -> tuple[bytes, bytes]:
    """A packet of at most `limit` bytes, and the part that did not fit, b"" if everything did.

    The longest properties are moved first; our own statement is short and stays. ISO 16684-3, 5.5.
    """
    if len(packet) <= limit:
        return packet, b""
    document, rest = _parse(packet), _parse(_EMPTY)
    _drop(document, [_EXTENDED])
    target = _subjects(rest)[0]
    target.setAttribute("rdf:about", _subjects(document)[0].getAttributeNS(RDF, "about"))
    properties = [
        (len(node.toxml()), number, subject, node)
        for number, subject in enumerate(_subjects(document))
        for node in subject.childNodes
        if node.nodeType == node.ELEMENT_NODE
    ]
    sizes = len(packet) + 200  # plus the name of the second part
    for size, _, subject, node in sorted(properties, key=lambda p: -p[0]):
        if sizes <= limit:
            break
        target.appendChild(rest.importNode(_with_namespaces(node, subject), True))
        subject.removeChild(node)
        sizes -= size
    extended = rest.documentElement.toxml().encode()
    if sizes > limit:  # attributes cannot be moved one by one
        document, extended = _parse(_EMPTY), packet
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
    _describe(document, {"xmlns:xmpNote": NOTE, "xmpNote:HasExtendedXMP": guid})
    return _write(document), extended


def _with_namespaces(node: minidom.Element, above: minidom.Element | None = None) -> minidom.Element:
    """The element with all prefixes declared above it, since it will be moved."""
    above = above or node.parentNode
    while above is not None and above.nodeType == above.ELEMENT_NODE:
        for name, value in above.attributes.items():
            if (name == "xmlns" or name.startswith("xmlns:")) and not node.hasAttribute(name):
                node.setAttribute(name, value)
        above = above.parentNode
    return node


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
    # ISO 16684-1, 7.3.2
    wrapped = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{}<?xpacket end="w"?>'
    return wrapped.format(document.documentElement.toxml()).encode()


def _subjects(document: minidom.Document) -> list[minidom.Element]:
    """The descriptions of the picture itself; each has some of its properties as attributes or elements."""
    return [
        node
        for rdf in document.getElementsByTagNameNS(RDF, "RDF")
        for node in rdf.childNodes
        if (node.namespaceURI, node.localName) == (RDF, "Description")
    ]


def _text(node: minidom.Element) -> str:
    return "".join(child.data for child in node.childNodes if child.nodeType == child.TEXT_NODE)


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
    # The packet may use another prefix for RDF
    return _element(document, "rdf:li", {"xmlns:rdf": RDF, **attributes})


def _describe(document: minidom.Document, properties: dict[str, str]) -> minidom.Element:
    """A new description of the picture, with the same name as the others, as required."""
    first = _subjects(document)[0]
    attributes = {"xmlns:rdf": RDF, "rdf:about": first.getAttributeNS(RDF, "about"), **properties}
    return first.parentNode.appendChild(_element(document, "rdf:Description", attributes))


def _array(document: minidom.Document, namespace: str, name: str, kind: str) -> minidom.Element:
    """The array (rdf:Alt, rdf:Seq, ...) of a property of this namespace, created if missing.

    A property may occur only once, so a plain text becomes the first item of the new array.
    """
    prefix, local = name.split(":")
    plain = ""
    for subject in _subjects(document):
        plain = subject.getAttributeNS(namespace, local) or plain
        for node in subject.childNodes:
            if (node.namespaceURI, node.localName) == (namespace, local):
                for array in node.childNodes:
                    if array.namespaceURI == RDF:
                        return array
                plain = _text(node)
    _drop(document, [(namespace, local)])
    holder = _describe(document, {}).appendChild(_element(document, name, {f"xmlns:{prefix}": namespace}))
    array = holder.appendChild(_element(document, kind, {}))
    if plain.strip():
        item = array.appendChild(_item(document, {"xml:lang": "x-default"} if kind == "rdf:Alt" else {}))
        item.appendChild(document.createTextNode(plain.strip()))
    return array
