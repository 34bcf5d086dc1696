"""Texts of archives, in EXIF and elsewhere."""

import hashlib
import struct

from PIL import Image, PngImagePlugin

from benchmarks.cases import drawing
from benchmarks.cases.trial import Poor, expect, on_files

EXIF = "EXIF texts that are not ASCII"
OTHER = "texts outside EXIF and XMP"
RDF = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
RDF += '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"{}>{}</rdf:Description>'
RDF += "</rdf:RDF></x:xmpmeta>"


@on_files(EXIF, "UTF-8 caption of a JPEG, to which a remark is added", "color")
def exif_utf8(folder):
    caption = "Großmutter, dritte von links".encode()
    drawing.jpeg(folder / "utf8.jpg", drawing.ramp(), (0xE1, drawing.exif(t270=caption)))
    done = yield ["utf8.jpg"]
    kept = done.picture("utf8.jpg").read_bytes()
    expect(caption in kept, "its letters are lost")
    after = kept.split(caption, 1)[1][:200].decode("latin-1").lower()
    expect("color" in after or "colour" in after, "no remark behind the caption", Poor)


@on_files(EXIF, "Latin-1 artist of a JPEG", "restored")
def exif_latin1(folder):
    artist = "Photograph Müller, Köln".encode("latin-1")
    drawing.jpeg(folder / "latin1.jpg", drawing.ramp(), (0xE1, drawing.exif(t315=artist)))
    done = yield ["latin1.jpg"]
    expect(artist in done.picture("latin1.jpg").read_bytes(), "its letters are lost")


@on_files(EXIF, "Cyrillic copyright of a TIFF", "restored")
def exif_cyrillic(folder):
    import tifffile

    text = "Семья Ивановых, 1923".encode()
    extra = [(33432, 2, len(text) + 1, text + b"\0", True)]
    tifffile.imwrite(folder / "cyrillic.tif", drawing.ramp(), metadata=None, extratags=extra)
    done = yield ["cyrillic.tif"]
    expect(text in done.picture("cyrillic.tif").read_bytes(), "its letters are lost")


@on_files(OTHER, "JPEG: IPTC caption and keyword", "restored")
def iptc(folder):
    block = drawing.photoshop(b"Family at the lake, 1923", b"grandmother")
    drawing.jpeg(folder / "iptc.jpg", drawing.ramp(), (0xED, b"Photoshop 3.0\0" + block))
    done = yield ["iptc.jpg"]
    text = drawing.png_text(done.picture("iptc.jpg"))
    expect(b"Family at the lake, 1923" in text and b"grandmother" in text, "lost without a word")


@on_files(OTHER, "JPEG: comment", "restored")
def jpeg_comment(folder):
    drawing.jpeg(folder / "attic.jpg", drawing.ramp(), (0xFE, b"found in the attic, box 7"))
    done = yield ["attic.jpg"]
    text = drawing.png_text(done.picture("attic.jpg"))
    expect(b"found in the attic, box 7" in text, "lost without a word")


@on_files(OTHER, "PNG: tEXt, zTXt and iTXt", "restored")
def png_texts(folder):
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Family at the lake")
    info.add_text("Comment", "a long story " * 50, zip=True)
    info.add_itxt("Description", "Großmutter, 3. von links")
    drawing.save(folder / "texts.png", drawing.ramp(), pnginfo=info)
    done = yield ["texts.png"]
    with Image.open(done.picture("texts.png")) as picture:
        picture.load()
        found = dict(picture.text)
    wanted = {"Title": "Family at the lake", "Comment": "a long story " * 50}
    wanted["Description"] = "Großmutter, 3. von links"
    lost = [name for name in wanted if found.get(name) != wanted[name]]
    expect(not lost, f"lost without a word: {', '.join(lost)}")


@on_files(OTHER, "JPEG: extended XMP", "restored")
def extended_xmp(folder):
    subject = "<dc:subject><rdf:Bag><rdf:li>grandmother</rdf:li></rdf:Bag></dc:subject>"
    extension = RDF.format("", subject).encode()
    guid = hashlib.md5(extension).hexdigest().upper()
    note = f' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}"'
    title = '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Lake</rdf:li></rdf:Alt></dc:title>'
    main = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + RDF.format(note, title).encode())
    head = guid.encode() + struct.pack(">II", len(extension), 0)
    more = (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + head + extension)
    drawing.jpeg(folder / "extended.jpg", drawing.ramp(), main, more)
    done = yield ["extended.jpg"]
    text = drawing.png_text(done.picture("extended.jpg"))
    expect(b"Lake" in text, "the main XMP is lost")
    expect(b"grandmother" in text, "lost without a word")


@on_files(OTHER, "TIFF: Photoshop block (34377) with IPTC", "restored")
def tiff_photoshop(folder):
    import tifffile

    block = drawing.photoshop(b"Family at the lake, 1923", b"grandmother")
    extra = [(34377, 7, len(block), block, True)]
    tifffile.imwrite(folder / "photoshop.tif", drawing.ramp(), metadata=None, extratags=extra)
    done = yield ["photoshop.tif"]
    kept = done.picture("photoshop.tif").read_bytes()
    expect(b"Family at the lake, 1923" in kept and b"grandmother" in kept, "lost without a word")


@on_files(OTHER, "GIF: comment", "restored")
def gif_comment(folder):
    drawing.save(folder / "comment.gif", drawing.ramp(), comment=b"from the album of Aunt Ida")
    done = yield ["comment.gif"]
    text = drawing.png_text(done.picture("comment.gif"))
    expect(b"from the album of Aunt Ida" in text, "lost without a word")


@on_files(OTHER, "PNG text in a TIFF result, which has no place for it", "restored --format tif")
def no_place(folder):
    info = PngImagePlugin.PngInfo()
    info.add_text("Shelf", "box 7, third from the left")
    drawing.save(folder / "noplace.png", drawing.ramp(), pnginfo=info)
    done = yield ["noplace.png"]
    kept = b"third from the left" in done.picture("noplace.png").read_bytes()
    expect(kept or done.warned("noplace.png", "shelf", "text"), "lost without a word")
