"""Photoshop files with every step of the restoration as a layer.

    layers = [Layer("Original", photo.pixels), Layer("Repairs", restored, mask)]
    data = photoshop(photo, layers, merged=restored)

Layer names are ASCII, since the format's field for them allows nothing else.
"""

from __future__ import annotations

import io
import zlib
from typing import NamedTuple

import numpy as np

from data import iptc
from data.errors import PhotoError
from data.photo import Photo
from data.pixels import as_depth


class Layer(NamedTuple):
    """One layer of a Photoshop file, at the size of the photograph."""

    name: str  # ASCII
    pixels: np.ndarray  # (H, W) or (H, W, 3), uint8 or uint16
    mask: np.ndarray | None = None  # (H, W) uint8, 255 shows the layer; only its bounding box is stored
    color: bool = False  # blend mode Color: hue and saturation of this layer, luminosity of those below
    visible: bool = True


def ending(photo: Photo) -> str:
    """psd, or psb where a PSD cannot hold the photograph: a side above 30000 px, or a file that may reach 2
    GiB.
    """
    width, height = photo.size
    # RGB of 6 layers and of the merged picture, alpha, a mask; 1 for constant alphas and uncompressible rows
    most = width * height * photo.pixels.itemsize * 24
    return "psb" if max(width, height) > 30_000 or most >= 1 << 31 else "psd"


def restoration_layers(
    pictures: dict[str, np.ndarray],
    repairs: tuple[np.ndarray, np.ndarray] | None = None,
    probability: np.ndarray | None = None,
) -> list[Layer]:
    """The steps of a restoration, from the bottom up.

    pictures: original, and perhaps toned, color and restored_color. repairs: restored picture and mask, where
    255 is repaired. probability: of damage, (H, W) in [0, 1], a hidden layer. Original and Repairs give the
    restored picture, with Color on top the restored one in color; Original with Color of original gives that
    in color. The hidden layer Toned gives the toned picture, with Color on top nearly the toned one in color.
    """
    layers = [Layer("Original", pictures["original"])]
    if repairs:
        restored, mask = repairs
        layers.append(Layer("Repairs", restored, (mask == 255).astype("uint8") * 255))
    if "toned" in pictures:
        layers.append(Layer("Toned", pictures["toned"], visible=False))
    if "color" in pictures:
        layers.append(Layer("Color of original", pictures["color"], color=True, visible=not repairs))
    if "restored_color" in pictures:
        layers.append(Layer("Color", pictures["restored_color"], color=True))
    if probability is not None:
        pixels = (probability * 255).round().astype("uint8")
        layers.append(Layer("Probability", pixels, visible=False))
    return layers


def photoshop(photo: Photo, layers: list[Layer], merged: np.ndarray, xmp: bytes | None = None) -> bytes:
    """A layered file, PSD or PSB (see `ending`): RGB at the photograph's depth, with its ICC profile and
    resolution.

    layers: from the bottom up. merged: the result of the visible ones, for programs that do not blend. The
    photograph's alpha is the transparency of the first layer, and the layers above are clipped to it. Raises
    PhotoError for a side above 300000 px.

    Photoshop's luminosity is 0.3 R + 0.59 G + 0.11 B, whereas our luma (BT.601) has a third decimal. A layer
    in blend mode Color therefore reproduces its own pixels only to within 2 of 255 over a grey base of its
    luma, and to within 5 over a strongly colored one.
    """
    from psd_tools.constants import ColorMode, Compression
    from psd_tools.psd import PSD
    from psd_tools.psd.header import FileHeader
    from psd_tools.psd.image_data import ImageData

    width, height = photo.size
    if max(width, height) > 300_000:
        raise PhotoError(
            f"{width} x {height} px do not fit into a layered file (at most 300000 a side): leave out --psd"
        )
    depth, version = photo.pixels.itemsize * 8, 1 if ending(photo) == "psd" else 2
    header = FileHeader(
        version=version, channels=3, height=height, width=width, depth=depth, color_mode=ColorMode.RGB
    )
    flat = ImageData(Compression.RLE)
    merged = np.atleast_3d(as_depth(merged, photo.pixels.dtype))
    planes = np.moveaxis(np.broadcast_to(merged, (height, width, 3)), -1, 0)
    flat.set_data([plane.astype(plane.dtype.newbyteorder(">")).tobytes() for plane in planes], header)
    file = io.BytesIO()
    PSD(
        header=header,
        image_resources=_resources(photo, xmp),
        layer_and_mask_information=_stack(photo, layers, version),
        image_data=flat,
    ).write(file)
    return file.getvalue()


def _stack(photo: Photo, layers: list[Layer], version: int):
    """psd-tools' LayerAndMaskInformation of the layers. version: 1 PSD, 2 PSB."""
    from psd_tools.constants import Tag
    from psd_tools.psd import layer_and_mask as parts
    from psd_tools.psd.tagged_blocks import TaggedBlock, TaggedBlocks

    records, images = parts.LayerRecords(), parts.ChannelImageData()
    for number, layer in enumerate(layers):
        record, planes = _layer(photo, layer, number == 0, version)
        records.append(record)
        images.append(planes)
    stack, blocks = (len(records), records, images), TaggedBlocks()
    if photo.pixels.itemsize == 1:
        information = parts.LayerInfo(*stack)
    else:  # Photoshop expects 16-bit layers in a block of their own
        information = parts.LayerInfo()
        blocks[Tag.LAYER_16] = TaggedBlock(key=Tag.LAYER_16, data=parts.LayerInfoBlock(*stack))
    return parts.LayerAndMaskInformation(information, parts.GlobalLayerMaskInfo(), blocks)


def _layer(photo: Photo, layer: Layer, lowest: bool, version: int):
    """psd-tools' LayerRecord and ChannelDataList of a layer, cropped to the box of its mask."""
    from psd_tools.constants import BlendMode, ChannelID, Clipping
    from psd_tools.psd import layer_and_mask as parts

    width, height = photo.size
    box = np.s_[:height, :width] if layer.mask is None else _box(layer.mask)
    edges = {"top": box[0].start or 0, "left": box[1].start or 0, "bottom": box[0].stop, "right": box[1].stop}
    transparent = lowest and photo.alpha is not None
    alpha = photo.alpha if transparent else np.full((height, width), 255, np.uint8)
    channels = {ChannelID.TRANSPARENCY_MASK: alpha}
    for i in range(3):
        channels[ChannelID(i)] = layer.pixels if layer.pixels.ndim == 2 else layer.pixels[..., i]
    if layer.mask is not None:
        channels[ChannelID.USER_LAYER_MASK] = layer.mask
    planes = [_plane(as_depth(pixels[box], photo.pixels.dtype), version) for pixels in channels.values()]
    record = parts.LayerRecord(
        **edges,
        name=layer.name,
        channel_info=[parts.ChannelInfo(key, 2 + len(plane.data)) for key, plane in zip(channels, planes)],
        blend_mode=BlendMode.COLOR if layer.color else BlendMode.NORMAL,
        clipping=Clipping.BASE if lowest or photo.alpha is None else Clipping.NON_BASE,
        flags=parts.LayerFlags(visible=layer.visible),
        mask_data=None if layer.mask is None else parts.MaskData(**edges),
    )
    return record, parts.ChannelDataList(planes)


def _plane(pixels: np.ndarray, version: int):
    """psd-tools' ChannelData of one channel (H, W), big-endian, compressed as Photoshop does it."""
    from psd_tools.constants import Compression
    from psd_tools.psd import layer_and_mask as parts

    if pixels.dtype == np.uint8:
        plane = parts.ChannelData(Compression.RLE)
        plane.set_data(pixels.tobytes(), *pixels.shape[::-1], 8, version)
        return plane
    change = pixels.copy()
    change[:, 1:] -= pixels[:, :-1]  # modulo 65536
    # Level 1 takes half the time of the default, for 2 % more bytes.
    packed = zlib.compress(change.astype(">u2").tobytes(), 1)
    return parts.ChannelData(Compression.ZIP_WITH_PREDICTION, packed)


def _resources(photo: Photo, xmp: bytes | None):
    """psd-tools' ImageResources: XMP, an RGB profile, the resolution and the IPTC fields."""
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource, ImageResources, ResoulutionInfo

    contents = {
        Resource.XMP_METADATA: xmp,
        Resource.ICC_PROFILE: photo.icc if photo.icc and photo.icc[16:20] == b"RGB " else None,
    }
    if photo.dpi:
        x, y = (round(value * 65536) for value in photo.dpi)  # fixed point; 1: per inch, shown in inches
        contents[Resource.RESOLUTION_INFO] = ResoulutionInfo(x, 1, 1, y, 1, 1)
    contents |= {Resource(number): content for number, content in iptc.resources(photo.iptc or b"").items()}
    resources = ImageResources.new()
    for key, content in contents.items():
        if content:
            resources[key] = ImageResource(key=key, data=content)
    return resources


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """The bounding box of the mask; its first pixel if it is empty, since a layer must have some."""
    sides = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis))
        sides.append(slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 1))
    return sides[0], sides[1]
