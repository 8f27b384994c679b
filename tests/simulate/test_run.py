"""A data set: what it holds, and that no death of a process can change it."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import h5py
import numpy as np
import pytest

from lensphys.ground.errors import InputError
from simulate import run, shards
from simulate.imaging import make_images
from simulate.presets.published import PublishedPrior
from simulate.run import simulate
from simulate.substructure import DEEPLENSE_CLASSES as CLASSES

ROOT = Path(__file__).parents[2]
SHARDS = [f"shard-0000{number}.h5" for number in range(3)]


def into(config, out, **changes):
    return config.model_copy(update={"out": out, **changes})


# What a data set is.


def test_a_data_set_is_a_manifest_shards_and_a_preview(undisturbed):
    assert sorted(p.name for p in undisturbed.iterdir()) == [
        "manifest.json",
        "preview.png",
        *SHARDS,
    ]
    assert (undisturbed / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_the_manifest_says_what_is_there(undisturbed, small_config):
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    assert manifest["complete"] is True
    assert (manifest["n"], manifest["seed"]) == (96, 5)
    assert manifest["label_names"] == list(CLASSES)
    assert manifest["counts"] == {"no_sub": 32, "cdm": 32, "axion": 32}
    assert manifest["config"] == small_config.identity()
    assert [(s["file"], s["n"]) for s in manifest["shards"]] == [(name, 32) for name in SHARDS]
    for shard in manifest["shards"]:
        digest = hashlib.sha256((undisturbed / shard["file"]).read_bytes()).hexdigest()
        assert shard["sha256"] == digest


@pytest.mark.parametrize("name", SHARDS)
def test_a_shard_holds_images_labels_and_parameters(undisturbed, name):
    with h5py.File(undisturbed / name) as file:
        assert set(file) == {"image", "label", "params"}
        assert (file["image"].shape, file["image"].dtype) == ((32, 1, 64, 64), np.float32)
        assert (file["label"].shape, file["label"].dtype) == ((32,), np.int64)
        assert {"theta_E", "source_center_x", "axion_mass"} <= set(file["params"])
        for column in file["params"].values():
            assert (column.shape, column.dtype) == ((32,), np.float64)
        attrs = dict(file.attrs)
    assert list(attrs["label_names"]) == list(CLASSES)
    assert attrs["pixel_scale"] == pytest.approx(0.101)
    assert (attrs["unit"], attrs["preset"], attrs["model"]) == ("2 e-/s", "published", 2)


def test_parameters_are_those_of_the_scenes(undisturbed, small_config):
    data, scene = shards.read(undisturbed), PublishedPrior(small_config).draw(0, 96)
    assert (data.label == scene.label.numpy()).all()
    assert data.params.keys() == scene.params.keys()
    for name, values in data.params.items():
        assert values == pytest.approx(scene.params[name].numpy(), rel=1e-14, nan_ok=True)


@pytest.mark.parametrize(("n", "counts"), [(1, [1, 0, 0]), (4, [2, 1, 1]), (5, [2, 2, 1])])
def test_classes_are_balanced_to_one_image(configure, tmp_path, n, counts):
    out, made = simulate(configure(2, n=n, out=tmp_path / "data"))
    assert made
    manifest = json.loads((out / "manifest.json").read_text())
    assert list(manifest["counts"].values()) == counts
    assert np.bincount(shards.read(out).label, minlength=3).tolist() == counts


def test_pairs_of_model_1(configure, tmp_path):
    data = shards.read(simulate(configure(1, n=7, pairs=2, out=tmp_path / "data"))[0])
    assert data.image.shape == (7, 1, 150, 150)
    assert data.image_lr is not None
    assert data.image_lr.shape == (7, 1, 75, 75)
    assert data.image_lr.dtype == np.float32
    assert data.attrs["pixel_scale_lr"] == pytest.approx(2 * data.attrs["pixel_scale"])
    assert data.attrs["unit"] == "counts"


def test_the_default_folder_is_named_after_model_and_preset(configure):
    assert run.default_out(configure(3)) == Path("data/model3")
    assert run.default_out(configure(2, preset="physical")) == Path("data/model2-physical")


def test_progress_is_told_of_every_image(small_config, tmp_path):
    told = []

    def progress(total, done):
        told.append((total, done))
        return told.append

    simulate(into(small_config, tmp_path / "data"), progress)
    assert told == [(96, 0), 32, 32, 32]


# Image k depends on configuration, seed and k only.


def test_the_number_of_workers_changes_no_byte(small_config, undisturbed, contents, tmp_path):
    """Three here; two, and death, in the test of workers whose parent is killed."""
    out, _ = simulate(into(small_config, tmp_path / "data", workers=3))
    assert contents(out) == contents(undisturbed)


def test_the_shard_size_changes_no_pixel(small_config, undisturbed, tmp_path):
    out, _ = simulate(into(small_config, tmp_path / "data", shard_size=50))
    data, reference = shards.read(out), shards.read(undisturbed)
    assert np.array_equal(data.image, reference.image)
    assert np.array_equal(data.label, reference.label)
    for name, values in data.params.items():
        assert np.array_equal(values, reference.params[name], equal_nan=True), name


def test_neither_shard_size_nor_n_changes_counts_and_pairs(configure, tmp_path):
    made = [
        shards.read(simulate(configure(1, pairs=2, out=tmp_path / f"{n}-{size}", **sizes))[0])
        for n, size in ((11, 11), (8, 3))
        for sizes in ({"n": n, "shard_size": size},)
    ]
    a, b = made
    assert np.array_equal(a.image[:8], b.image)
    assert a.image_lr is not None
    assert np.array_equal(a.image_lr[:8], b.image_lr)


# Death and damage.


@pytest.fixture
def program(tmp_path):
    """Starts a Python program of its own that makes ``small_config`` in a folder."""
    started = []

    def start(body: str, out: Path) -> subprocess.Popen:
        source = f"""
import os, signal
from pathlib import Path
from simulate import run
from simulate.presets import load_simulate_config

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    out = Path({str(out)!r})
    config = load_simulate_config(
        2,
        device="cpu", workers=1, n=96, shard_size=32, seed=5, out=out,
    )
{"".join(f"    {line}" for line in body.splitlines(keepends=True))}
"""
        path = tmp_path / "program.py"
        path.write_text(source)
        process = subprocess.Popen([sys.executable, str(path)], env=environment())
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_a_run_killed_while_it_writes_is_resumed_to_the_same_bytes(
    program, small_config, undisturbed, contents, tmp_path
):
    out = tmp_path / "data"
    killed = program(
        """
from lensphys.ground.files import replacing
write = run.write_shard
def write_half(path, *args):
    if path.name == "shard-00001.h5":
        replacing(path).__enter__().write_bytes(b"half")
        kill()
    return write(path, *args)
run.write_shard = write_half
run.simulate(config)
""",
        out,
    )
    assert killed.wait(180) == -signal.SIGKILL
    left = contents(out)
    assert left[SHARDS[0]] == contents(undisturbed)[SHARDS[0]]
    assert any(name.endswith(".tmp") for name in left)
    assert not {SHARDS[1], "preview.png"} & left.keys()
    with pytest.raises(InputError, match="not finished"):
        shards.read(out)

    modified = (out / SHARDS[0]).stat().st_mtime_ns
    assert simulate(into(small_config, out)) == (out, True)
    assert contents(out) == contents(undisturbed)
    assert (out / SHARDS[0]).stat().st_mtime_ns == modified


def test_workers_die_with_their_parent_and_the_run_is_resumed(
    program, small_config, undisturbed, contents, tmp_path
):
    out = tmp_path / "data"
    parent = program('run.simulate(config.model_copy(update={"workers": 2}))', out)
    deadline = time.monotonic() + 180
    while not list(out.glob("shard-*.h5")) and time.monotonic() < deadline:
        assert parent.poll() is None
        time.sleep(0.002)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    assert len(children) >= 2
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    simulate(into(small_config, out))
    assert contents(out) == contents(undisturbed)


def test_an_interruption_keeps_finished_shards(small_config, undisturbed, contents, tmp_path):
    def progress(total, done):
        def report(count):
            raise KeyboardInterrupt

        return report

    out = tmp_path / "data"
    with pytest.raises(KeyboardInterrupt):
        simulate(into(small_config, out), progress)
    assert contents(out).keys() == {"manifest.json", SHARDS[0]}
    simulate(into(small_config, out))
    assert contents(out) == contents(undisturbed)


def test_a_full_disk_leaves_no_half_written_shard(
    small_config, undisturbed, contents, tmp_path, monkeypatch
):
    out = tmp_path / "data"
    create = h5py.Group.create_dataset

    def full(group, name, *args, **kwargs):
        if name == "label" and (out / SHARDS[0]).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return create(group, name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Group, "create_dataset", full)
        with pytest.raises(InputError, match=r"No space left.*run the same command again"):
            simulate(into(small_config, out))
    assert contents(out).keys() == {"manifest.json", SHARDS[0]}
    simulate(into(small_config, out))
    assert contents(out) == contents(undisturbed)


def test_a_finished_data_set_is_left_alone(small_config, copy):
    before = {path: path.stat().st_mtime_ns for path in copy.iterdir()}
    assert simulate(into(small_config, copy)) == (copy, False)
    assert simulate(into(small_config, copy, workers=2)) == (copy, False)
    assert {path: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "file"), list(zip([truncate, flip, Path.unlink], SHARDS, strict=True))
)
def test_a_damaged_shard_is_repaired(small_config, undisturbed, contents, copy, damage, file):
    others = [path for path in copy.glob("shard-*") if path.name != file]
    before = [path.stat().st_mtime_ns for path in others]
    damage(copy / file)
    assert simulate(into(small_config, copy)) == (copy, True)
    assert contents(copy) == contents(undisturbed)
    assert [path.stat().st_mtime_ns for path in others] == before


def test_a_deleted_preview_is_drawn_again(small_config, undisturbed, contents, copy):
    (copy / "preview.png").unlink()
    simulate(into(small_config, copy))
    assert contents(copy) == contents(undisturbed)


def test_leftover_temporary_files_are_removed_and_no_others(
    small_config, undisturbed, contents, copy
):
    (copy / f".shard-00001.h5.{uuid.uuid4().hex}.tmp").write_bytes(b"half")
    (copy / ".notes.tmp").write_bytes(b"of the user")
    simulate(into(small_config, copy))
    (copy / ".notes.tmp").unlink()
    assert contents(copy) == contents(undisturbed)


# Folders that are not ours.


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"n": 97}, "n = 96, not 97"),
        ({"seed": 6}, "seed = 5, not 6"),
        ({"backend": "lenstronomy"}, "backend = torch, not lenstronomy"),
        ({"shard_size": 16}, "shard_size"),
        ({"classes": ("cdm", "no_sub", "axion")}, "classes"),
    ],
)
def test_another_configuration_in_the_folder_is_refused(
    small_config, undisturbed, contents, changes, key
):
    before = contents(undisturbed)
    with pytest.raises(InputError, match=key) as error:
        simulate(into(small_config, undisturbed, **changes))
    assert "choose another --out" in str(error.value)
    assert contents(undisturbed) == before


def test_a_nested_key_is_named_in_full(configure, undisturbed):
    changed = configure(2, "lens.mass_scale.cosmology.H0=71", n=96, shard_size=32, seed=5)
    with pytest.raises(InputError, match=r"lens\.mass_scale\.cosmology\.H0 = 70\.0, not 71\.0"):
        simulate(into(changed, undisturbed))


def test_a_folder_with_other_files_is_refused(small_config, contents, tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(InputError, match="other files; choose an empty folder"):
        simulate(into(small_config, tmp_path))
    assert contents(tmp_path) == {"thesis.tex": b"ten years of work"}


@pytest.mark.parametrize("below", ["", "data"])
def test_a_folder_that_cannot_be_written_to_is_refused(small_config, contents, tmp_path, below):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(InputError, match=r"cannot write to .*; choose another --out"):
        simulate(into(small_config, tmp_path / "file" / below))
    assert contents(tmp_path) == {"file": b"a file, not a folder"}


def test_a_folder_belongs_to_one_process_at_a_time(configure, tmp_path):
    config = configure(2, n=3, out=tmp_path / "data")

    def intrude(total, done):
        for _ in range(2):  # the first refusal does not open the door to the next
            with pytest.raises(InputError, match="another process is writing"):
                simulate(config)
        return lambda count: None

    simulate(config, intrude)
    assert len(shards.read(config.out)) == 3


@pytest.mark.parametrize(
    ("model", "sets", "message"),
    [
        (2, ["instrument=euclid_vis_publishd"], "did you mean 'euclid_vis_published'"),
        (2, ["pairs=3"], "--pairs 3 does not divide"),
        (1, ["exposure_log10=null"], "needs exposure_log10"),
        (2, ["lens.z_source=0.4"], "behind the lens"),
    ],
)
def test_a_senseless_configuration_makes_no_folder(configure, tmp_path, model, sets, message):
    with pytest.raises(InputError, match=message):
        simulate(configure(model, *sets, n=3, out=tmp_path / "data"))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("backend", ["torch", "lenstronomy"])
def test_cuda_is_refused_where_there_is_none(configure, tmp_path, monkeypatch, backend):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = configure(2, n=3, out=tmp_path / "data", backend=backend)
    with pytest.raises(InputError, match="use --device cpu"):
        simulate(config.model_copy(update={"device": "cuda"}))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused_and_leave_nothing(
    configure, tmp_path, monkeypatch, value
):
    def draw(*arguments):
        scene, images = make_images(*arguments)
        images[0][0, 0, 3, 3] = value
        return scene, images

    monkeypatch.setattr("simulate.imaging.make_images", draw)
    config = configure(2, n=3, out=tmp_path / "data")
    with pytest.raises(InputError, match=r"cannot be drawn .*: pixels become infinite or NaN"):
        simulate(config)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_of_another_program_is_not_replaced(configure, tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "my web page"}')
    with pytest.raises(InputError, match=r"holds a manifest.json that is not one of this program"):
        simulate(configure(2, n=3, out=tmp_path))
    assert (tmp_path / "manifest.json").read_text() == '{"name": "my web page"}'
