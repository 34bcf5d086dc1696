"""Pictures that hold several steps at once: side by side for the eye, in layers for work by hand.

    sheet = compare({"original": photo.pixels, "restored": restored})
    layers = [Layer("Original", photo.pixels), Layer("Repairs", restored, mask)]
    data = photoshop(photo, layers, merged=restored)

The names of layers are ASCII: the format's own field for them holds no other letters.
"""

from __future__ import annotations

import io
import zlib
from typing import NamedTuple

import numpy as np

from data.errors import PhotoError
from data.photo import Photo
from data.pixels import as_depth


class Layer(NamedTuple):
    """One layer of a Photoshop file, as large as the photo."""

    name: str  # ASCII
    pixels: np.ndarray  # (H, W) or (H, W, 3), uint8 or uint16
    mask: np.ndarray | None = (
        None  # (H, W) uint8; the layer is seen where it is 255 and stored where that may be
    )
    color: bool = (
        False  # blend mode Color: hue and saturation are the layer's, luminosity is that of what lies below
    )
    visible: bool = True


def ending(photo: Photo) -> str:
    """psd, or psb where a PSD cannot hold the photo: a side above 30000 px or a file that may reach 2 GiB."""
    width, height = photo.size
    most = width * height * photo.pixels.itemsize * 24  # 5 layers of RGB and alpha, RGB merged, a mask
    return "psb" if max(width, height) > 30_000 or most >= 1 << 31 else "psd"


def photoshop(photo: Photo, layers: list[Layer], merged: np.ndarray, xmp: bytes | None = None) -> bytes:
    """A layered file, PSD or PSB (see `ending`), RGB of the photo's depth, with its ICC profile and
    resolution.

    layers: from the bottom up. merged: what the visible ones give, for programs that do not blend. The
    photo's alpha is the first layer's transparency, and those above are clipped to it. PhotoError: a side
    above 300000 px.

    Photoshop's luminosity is 0.3 R + 0.59 G + 0.11 B, our luma (BT.601) has a third decimal. So a layer in
    blend mode Color gives its own pixels over a grey base of its luma to within 2 of 255; over a strongly
    coloured one to within 5.
    """
    from psd_tools.constants import BlendMode, ChannelID, Clipping, ColorMode, Compression, Resource, Tag
    from psd_tools.psd import PSD
    from psd_tools.psd import layer_and_mask as parts
    from psd_tools.psd.header import FileHeader
    from psd_tools.psd.image_data import ImageData
    from psd_tools.psd.image_resources import ImageResource, ImageResources, ResoulutionInfo
    from psd_tools.psd.tagged_blocks import TaggedBlock, TaggedBlocks

    width, height = photo.size
    if max(width, height) > 300_000:
        raise PhotoError(
            f"{width} x {height} px do not fit into a layered file (at most 300000 a side): leave out --psd"
        )
    depth, version = photo.pixels.itemsize * 8, 1 if ending(photo) == "psd" else 2
    dtype = np.uint16 if depth == 16 else np.uint8

    def plane(pixels: np.ndarray, at: tuple[slice, slice]) -> parts.ChannelData:
        """One channel in the file's depth, big-endian, compressed as Photoshop itself does it."""
        pixels = as_depth(pixels[at], dtype)
        if depth == 8:
            data = parts.ChannelData(Compression.RLE)
            data.set_data(pixels.tobytes(), *pixels.shape[::-1], depth, version)
            return data
        change = pixels.copy()
        change[:, 1:] -= pixels[:, :-1]  # modulo 65536
        # Level 1: half of the default's time, 2 % more bytes.
        return parts.ChannelData(
            Compression.ZIP_WITH_PREDICTION, zlib.compress(change.astype(">u2").tobytes(), 1)
        )

    records, images = parts.LayerRecords(), parts.ChannelImageData()
    opaque = np.full((height, width), 255, np.uint8)
    for number, layer in enumerate(layers):
        at = np.s_[:height, :width] if layer.mask is None else _box(layer.mask)
        edges = {"top": at[0].start or 0, "left": at[1].start or 0, "bottom": at[0].stop, "right": at[1].stop}
        alpha = photo.alpha if number == 0 and photo.alpha is not None else opaque
        channels = {ChannelID.TRANSPARENCY_MASK: alpha}
        channels |= {
            ChannelID(i): layer.pixels if layer.pixels.ndim == 2 else layer.pixels[..., i] for i in range(3)
        }
        if layer.mask is not None:
            channels[ChannelID.USER_LAYER_MASK] = layer.mask
        data = parts.ChannelDataList([plane(pixels, at) for pixels in channels.values()])
        records.append(
            parts.LayerRecord(
                **edges,
                name=layer.name,
                channel_info=[
                    parts.ChannelInfo(key, 2 + len(channel.data)) for key, channel in zip(channels, data)
                ],
                blend_mode=BlendMode.COLOR if layer.color else BlendMode.NORMAL,
                clipping=Clipping.BASE if number == 0 or photo.alpha is None else Clipping.NON_BASE,
                flags=parts.LayerFlags(visible=layer.visible),
                mask_data=None if layer.mask is None else parts.MaskData(**edges),
            )
        )
        images.append(data)
    stack = (len(records), records, images)
    blocks = TaggedBlocks()
    if depth == 16:  # Photoshop looks for such layers in a block of their own
        blocks[Tag.LAYER_16] = TaggedBlock(key=Tag.LAYER_16, data=parts.LayerInfoBlock(*stack))
    information = parts.LayerAndMaskInformation(
        parts.LayerInfo(*stack) if depth == 8 else parts.LayerInfo(), parts.GlobalLayerMaskInfo(), blocks
    )

    resources = ImageResources.new()
    found = {
        Resource.XMP_METADATA: xmp,
        Resource.ICC_PROFILE: photo.icc if photo.icc and photo.icc[16:20] == b"RGB " else None,
    }
    if photo.dpi:
        x, y = (round(value * 65536) for value in photo.dpi)  # fixed point; 1: per inch, shown in inches
        found[Resource.RESOLUTION_INFO] = ResoulutionInfo(x, 1, 1, y, 1, 1)
    for key, value in found.items():
        if value:
            resources[key] = ImageResource(key=key, data=value)

    header = FileHeader(
        version=version, channels=3, height=height, width=width, depth=depth, color_mode=ColorMode.RGB
    )
    flat = ImageData(Compression.RLE)
    merged = np.moveaxis(np.broadcast_to(np.atleast_3d(as_depth(merged, dtype)), (height, width, 3)), -1, 0)
    flat.set_data([channel.astype(channel.dtype.newbyteorder(">")).tobytes() for channel in merged], header)
    file = io.BytesIO()
    PSD(
        header=header, image_resources=resources, layer_and_mask_information=information, image_data=flat
    ).write(file)
    return file.getvalue()


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Where the mask is set; its first pixel if nowhere, because a layer must have some."""
    sides = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis))
        sides.append(slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 1))
    return sides[0], sides[1]
