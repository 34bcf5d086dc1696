"""Weights files: written whole, read without running code, refused with one line."""

import hashlib
import os
from pathlib import Path

import pytest
import torch

from data import checkpoint
from data.errors import WeightsError


def net(width=4):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, width, 3), torch.nn.BatchNorm2d(width))


def content(stage="segment", **changes):
    return {
        **checkpoint.weights(stage, "0.1.0", {"width": 4}, net(), {"threshold": 0.4}, {"done": 7}),
        **changes,
    }


def refused(call, *arguments):
    with pytest.raises(WeightsError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_round_trip(tmp_path):
    path = tmp_path / "w.pt"
    checkpoint.save(path, content())
    again = checkpoint.read_weights(path, "segment")
    assert {name: again[name] for name in ("format", "stage", "version", "build", "infer", "training")} == {
        "format": checkpoint.FORMAT,
        "stage": "segment",
        "version": "0.1.0",
        "build": {"width": 4},
        "infer": {"threshold": 0.4},
        "training": {"done": 7},
    }
    other = net()
    with torch.no_grad():
        other[0].weight.zero_()
    checkpoint.load_state(other, again, path)
    for name, x in net().state_dict().items():
        ours = other.state_dict()[name]
        assert ours.dtype == x.dtype, name
        assert torch.equal(ours, x.half().to(x.dtype) if x.dim() > 1 else x), name


def test_kernels_are_stored_in_half_precision(tmp_path):
    """Vectors are not: variances of a norm can be above the largest number of half precision."""
    wide = net()
    wide[1].running_var.fill_(1e5)
    state = checkpoint.weights("segment", "0.1.0", {}, wide, {}, {})["state"]
    assert state["0.weight"].dtype == torch.float16
    assert torch.equal(state["1.running_var"], wide[1].running_var)
    assert state["1.num_batches_tracked"].dtype == torch.int64
    checkpoint.save(tmp_path / "w.pt", {"x": torch.zeros(100000).half()})
    assert (tmp_path / "w.pt").stat().st_size < 210000


class Surprise:
    """Unpickling it writes a file: what a stranger's weights must not be able to do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_weights_is_refused_and_not_run(tmp_path):
    torch.save({**content(), "extra": Surprise(tmp_path / "ran")}, tmp_path / "evil.pt")
    message = refused(checkpoint.read_weights, tmp_path / "evil.pt", "segment")
    assert message.startswith(f"{tmp_path}/evil.pt: ")
    assert "more than tensors and plain types" in message
    torch.save(net(), tmp_path / "module.pt")  # a whole module is code too
    assert "more than tensors and plain types" in refused(
        checkpoint.read_weights, tmp_path / "module.pt", "segment"
    )
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "ran").exists()  # so the file was indeed a dangerous one


def test_what_cannot_be_used_is_said_in_one_line(tmp_path):
    path = tmp_path / "w.pt"
    assert refused(checkpoint.read, path) == f"{path}: no such weights file"
    checkpoint.save(path, content())
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        assert "not a readable weights file" in refused(checkpoint.read_weights, path, "segment")
    path.write_text("no weights at all")
    assert "not a readable weights file" in refused(checkpoint.read_weights, path, "segment")
    assert "not a readable weights file" in refused(checkpoint.read_weights, tmp_path, "segment")
    torch.save([1, 2], path)
    assert "not a weights file of photo-restore" in refused(checkpoint.read_weights, path, "segment")
    for strange in ({"net": {}}, content(format=99), {**content(), "infer": 0} | {"format": None}):
        checkpoint.save(path, strange)
        assert "not a weights file of this version" in refused(checkpoint.read_weights, path, "segment")


def test_a_training_checkpoint_is_no_weights_file(tmp_path):
    checkpoint.save(tmp_path / "last.pt", {"state_version": 1, "net": {}})
    message = refused(checkpoint.read_weights, tmp_path / "last.pt", "segment")
    assert message == f"{tmp_path}/last.pt: a training checkpoint: give a best-STEP.pt beside it"


@pytest.mark.parametrize("strange", [{"build": None}, {"state": [1]}, {"infer": 3}])
def test_contents_of_another_kind_are_refused(tmp_path, strange):
    checkpoint.save(tmp_path / "w.pt", content(**strange))
    message = refused(checkpoint.read_weights, tmp_path / "w.pt", "segment")
    assert "not a weights file of this version" in message


def test_a_state_of_more_than_tensors_is_refused(tmp_path):
    message = refused(checkpoint.load_state, net(), content(state={"0.weight": 3}), tmp_path / "w.pt")
    assert "its state holds more than tensors" in message


def test_another_stage_is_named(tmp_path):
    checkpoint.save(tmp_path / "w.pt", content("inpaint"))
    assert "weights of inpaint, but segment was asked for" in refused(
        checkpoint.read_weights, tmp_path / "w.pt", "segment"
    )


def test_loading_is_strict(tmp_path):
    path = tmp_path / "w.pt"
    assert "0.weight" in refused(checkpoint.load_state, net(8), content(), path)
    missing, unknown = content(), content()
    del missing["state"]["1.bias"]
    unknown["state"]["2.weight"] = torch.zeros(1)
    assert "1.bias" in refused(checkpoint.load_state, net(), missing, path)
    assert "2.weight" in refused(checkpoint.load_state, net(), unknown, path)


def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "w.pt"
    checkpoint.save(path, {"step": 1})

    def killed(*_):
        raise KeyboardInterrupt

    for function, module in (("replace", os), ("save", torch)):
        with monkeypatch.context() as patch:
            patch.setattr(module, function, killed)
            with pytest.raises(KeyboardInterrupt):
                checkpoint.save(path, {"step": 2})
        assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]
        assert checkpoint.read(path) == {"step": 1}
    checkpoint.save(path, {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]
    assert checkpoint.read(path) == {"step": 2}


def test_fingerprint(tmp_path):
    (tmp_path / "x").write_bytes(b"weights")
    assert checkpoint.fingerprint(tmp_path / "x") == hashlib.sha256(b"weights").hexdigest()
    assert refused(checkpoint.fingerprint, tmp_path / "y") == f"{tmp_path}/y: no such weights file"
    assert refused(checkpoint.fingerprint, tmp_path).startswith(f"{tmp_path}: ")


def test_constructor_arguments_of_older_files_have_their_new_names(tmp_path):
    older = content(build={"depth": 18, "width": 4, "classes": 2, "centers": 1})
    checkpoint.save(tmp_path / "w.pt", older)
    build = checkpoint.read_weights(tmp_path / "w.pt", "segment")["build"]
    assert build == {"depth": 18, "width": 4, "out_channels": 2, "extra_levels": 1}


def test_a_file_that_cannot_be_written_leaves_the_former_one(tmp_path):
    """On a full disk, or as here beyond the largest size that is allowed."""
    resource = pytest.importorskip("resource")
    checkpoint.save(tmp_path / "a.pt", {"x": 1})
    before, limits = (tmp_path / "a.pt").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, limits[1]))
    try:
        with pytest.raises(OSError, match=r"a\.pt"):
            checkpoint.save(tmp_path / "a.pt", {"x": torch.zeros(10**6)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a.pt").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_is_on_the_disk_before_it_replaces_the_last_one(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(checkpoint.os, name)
        monkeypatch.setattr(checkpoint.os, name, lambda *a, n=name, f=real: (calls.append(n), f(*a))[1])
    checkpoint.save(tmp_path / "last.pt", {"done": 1})
    assert calls == ["fsync", "replace"]
