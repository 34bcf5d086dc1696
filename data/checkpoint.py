"""Weights files and training checkpoints: saved atomically, loaded without running code.

A weights file is a dict of plain types and tensors: `format`, `stage`, `version`, `build` (constructor
arguments of the network, so that `infer` needs no other option), `state` (half precision), `infer` (settings
found in validation, such as the threshold) and `training` (options, steps, metrics).
"""

import os
from pathlib import Path

import torch

from data.errors import WeightsError
from data.files import sha256

FORMAT = 1
# Constructor arguments of AlbuNet in files of version 0.1. They are renamed on reading, so that these files
# (and their SHA-256 in reports) stay valid and no other code knows the old names.
RENAMED = {"centers": "extra_levels", "classes": "out_channels"}


def save(path: Path, content: dict) -> None:
    """Writes to a temporary file next to `path`, through to the disk, and renames it: neither a kill nor a
    power failure leaves a partial file.

    Raises OSError with the name of the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:  # given a path, torch has no OSError for a full disk
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        failed = error if isinstance(error, OSError) else error.__context__
        if not isinstance(failed, OSError):
            raise
        raise OSError(failed.errno, failed.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> dict:
    """A dict written by `save`, on the CPU.

    Raises WeightsError, one line, if the file is missing, truncated, or holds anything but tensors and plain
    types.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except Exception as error:  # torch.load has no error class of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "weights_only" in str(error):
            reason = "it holds more than tensors and plain types, and is refused"
        raise WeightsError(f"{path}: not a readable weights file ({reason})") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: not a weights file of photo-restore")
    return content


def weights(stage: str, version: str, build: dict, net: torch.nn.Module, infer: dict, training: dict) -> dict:
    """The contents of a weights file, with the kernels of `net` in half precision.

    Vectors are small, and variances of norms can be too large for half precision.
    """
    kernels = {name: x for name, x in net.state_dict().items() if x.is_floating_point() and x.dim() > 1}
    state = {**net.state_dict(), **{name: x.half() for name, x in kernels.items()}}
    return {
        "format": FORMAT,
        "stage": stage,
        "version": version,
        "build": build,
        "state": state,
        "infer": infer,
        "training": training,
    }


def read_weights(path: Path, stage: str) -> dict:
    """The contents of a weights file. Raises WeightsError if it belongs to another stage or format."""
    content = read(path)
    if "state_version" in content:
        raise WeightsError(f"{path}: a training checkpoint: give a best-STEP.pt beside it")
    plain = all(isinstance(content.get(name), dict) for name in ("build", "state", "infer"))
    if content.get("format") != FORMAT or "stage" not in content or not plain:
        raise WeightsError(f"{path}: not a weights file of this version of photo-restore")
    if content["stage"] != stage:
        raise WeightsError(f"{path}: weights of {content['stage']}, but {stage} was asked for")
    build = {RENAMED.get(name, name): value for name, value in content["build"].items()}
    return {**content, "build": build}


def load_state(net: torch.nn.Module, content: dict, path: Path) -> None:
    """Loads `state` strictly into `net` as float32. Raises WeightsError if names or shapes differ."""
    state = content["state"]
    if not all(torch.is_tensor(x) for x in state.values()):
        raise WeightsError(f"{path}: does not fit the network (its state holds more than tensors)")
    state = {name: x.float() if x.is_floating_point() else x for name, x in state.items()}
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"{path}: does not fit the network ({detail})") from None


def fingerprint(path: Path) -> str:
    """The SHA-256 of a weights file, 64 hexadecimal digits. Raises WeightsError if it cannot be read."""
    try:
        return sha256(Path(path).read_bytes())
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from None
