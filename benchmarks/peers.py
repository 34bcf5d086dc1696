"""Other libraries on the tasks and sizes of the stages, on the CPU."""

import importlib
import sys

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.example import photograph
from benchmarks.timing import timed

DETECTION_SIZE, INPAINTING_SIZE = (1024, 1024), (512, 512)  # px, the published sizes


def unet(library):
    """segmentation-models-pytorch's Unet: a call, and facts about it."""
    net = library.Unet("resnet18", encoder_weights=None, in_channels=1).eval()
    net = net.to(memory_format=torch.channels_last)
    x = torch.rand(1, 1, *DETECTION_SIZE).to(memory_format=torch.channels_last)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(x)

    def call():
        with torch.inference_mode():
            net(x)

    return call, {"size": DETECTION_SIZE, "gflop": round(counter.get_total_flops() / 1e9, 1)}


def opencv(library, method: int):
    """OpenCV's inpainting of an 8-bit picture, with a radius of 3 px."""
    luma, holes = photograph(INPAINTING_SIZE)
    grey = np.rint(luma * 255).astype(np.uint8)
    library.setNumThreads(torch.get_num_threads())
    return lambda: library.inpaint(grey, holes, 3, method), {"size": INPAINTING_SIZE}


def biharmonic(library):
    """scikit-image's biharmonic inpainting."""
    luma, holes = photograph(INPAINTING_SIZE)
    return lambda: library.inpaint_biharmonic(luma, holes > 0), {"size": INPAINTING_SIZE}


PEERS = {  # name -> (module, function that makes the call)
    "segmentation-models-pytorch, Unet of resnet18 (stride 2 first)": ("segmentation_models_pytorch", unet),
    "OpenCV, Telea": ("cv2", lambda cv2: opencv(cv2, cv2.INPAINT_TELEA)),
    "OpenCV, Navier-Stokes": ("cv2", lambda cv2: opencv(cv2, cv2.INPAINT_NS)),
    "scikit-image, biharmonic": ("skimage.restoration", biharmonic),
}


def peer_row(name: str, runs: int) -> dict:
    """The timing of a library, or the reason why there is none."""
    module, make = PEERS[name]
    try:
        library = importlib.import_module(module)
    except ImportError:
        reason = f"{module.split('.')[0]} is not installed"
        return {"peer": name, "seconds": None, "reason": reason}
    call, facts = make(library)
    call()
    return {"peer": name, **timed(call, runs, torch.device("cpu")), **facts}


def peer_rows(runs: int) -> list[dict]:
    rows = []
    for name in PEERS:
        rows.append(peer_row(name, runs))
        print(rows[-1], file=sys.stderr)
    return rows
