"""Commands on data sets, from the command line."""

from pathlib import Path

import numpy as np
import pytest

from simulate import shards

ROOT = Path(__file__).parents[3]
SMALL = "simulate --model 2 --n 6 --workers 1 --device cpu --out data"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("simulate --model 7", "unknown model 7; preset 'published' has models 1, 2, 3"),
        ("simulate --model 2 --preset publishd", "(did you mean 'published'?)"),
        ("simulate --model 2 --n 0", "n: Input should be greater than 0 (got 0)"),
        ("simulate --model 2 --n -5", "n: Input should be greater than 0 (got -5)"),
        ("simulate --model 2 --seed -1", "seed: "),
        ("simulate --model 2 --workers 0", "workers: "),
        ("simulate --model 2 --classes no_sub,cmd", "unknown class 'cmd' (did you mean 'cdm'?)"),
        ("simulate --model 2 --pairs 3", "--pairs 3 does not divide images of 64 pixels"),
        ("simulate --model 2 --pairs 64", "--pairs 64"),
        ("simulate --model 2 --set lens.gama1=0.1", "(did you mean 'gamma1'?)"),
        ("simulate --model 2 --set lens.gamma1", "--set takes key=value"),
        ("simulate --model 2 --set =3", "--set takes key=value or section.key=value, as seed=1"),
        ("simulate --model 2 --set ' =3'", "got ' =3'"),
        ("simulate --model 2 --set lens.=3", "got 'lens.=3'"),
        ("simulate --model 2 --set lens..e1=3", "got 'lens..e1=3'"),
        ("simulate --model 2 --set lens.gamma1=.nan", "lens.gamma1: "),
        ("simulate --model 2 --set lens.e1=0.9 --set lens.e2=0.9", "lens: "),
        ("simulate --model 2 --set cdm.r_min=3", "cdm: "),
        ("simulate --model 2 --set instrument=euclid", "unknown instrument 'euclid'"),
        ("simulate --model 2 --config none.yaml", "cannot read the configuration none.yaml"),
        ("simulate --model 2 --scheduler s --workers 2", "--workers or --scheduler, not both"),
        ("simulate --model 2 --scheduler s", "no Dask scheduler answers at 's'; start one with"),
        ("import none", "there is no file or folder none"),
        ("import .", ". has none of the known layouts: known are no_sub/ cdm/ axion/"),
        ("import . --model 1 --instrument euclid_vis", "give --model or --instrument"),
        ("import . --pixel-scale -1", "pixel_scale: Input should be greater than 0"),
        ("import . --size 1", "size: "),
        ("import . --label-names a,,b", "label_names.1: "),
        ("import . --label-names a,a", "must name each class once"),
        ("import . --exposure-time 0", "exposure_time: Input should be greater than 0 (got 0"),
        ("import . --label-names a,b", "there is no folder 'a' in .; it has no folders"),
        ("import . --set fil=zero", "(did you mean 'fill'?)"),
        ("inspect none", "none is not a data set: it has no manifest.json"),
        ("audit none", "there is no data set at none"),
        ("audit . --set radial=1", "unknown key 'radial' (did you mean 'radial_auc_max'?)"),
    ],
)
def test_bad_input_is_answered_in_one_line(refused, line, message):
    assert message in refused(line)


def test_the_help_of_audit_says_how_it_ends(call):
    out = call("audit --help")[1]
    assert "Exit code: 0 if no check failed, 1 if one did, 2 for bad input" in out


@pytest.mark.parametrize("options", ["--model 7", "--model 2 --preset publishd"])
def test_model_and_preset_are_checked_with_a_configuration_of_ones_own_too(refused, options):
    own = ROOT / "configs/simulate/model2.yaml"
    assert "unknown" in refused(f"simulate {options} --config {own} --n 3 --workers 1")


def test_import_writes_a_data_set_and_names_what_it_skips(call, tmp_path):
    for name in ("no_sub", "cdm"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(3):
            np.save(tmp_path / "set" / name / f"{i}.npy", np.eye(8))
    (tmp_path / "set" / "cdm" / "1.npy").write_bytes(b"")
    line = "import set --pixel-scale 0.05 --unit ADU"
    code, out, err = call(line)
    assert code == 0
    assert out == "wrote data/imported/set\npicture: data/imported/set/preview.png\n"
    assert "skipped cdm/1.npy: it is empty\n" in err
    data = shards.read(Path("data/imported/set"))
    assert data.label.tolist() == [0, 1, 0, 0, 1]
    assert data.attrs["unit"] == "ADU"
    assert "already complete: data/imported/set" in call(line)[1]


def test_both_backends_make_the_same_data_set(call):
    data = []
    for backend in ("torch", "lenstronomy"):
        code, out, _ = call(
            "simulate --model 2 --n 30 --workers 1 --device cpu "
            f"--backend {backend} --out {backend}"
        )
        assert code == 0
        assert out == f"wrote {backend}\npicture: {backend}/preview.png\n"
        data.append(shards.read(Path(backend)))
    fast, reference = data
    assert len(fast) == 30
    peak = reference.image.max((1, 2, 3), keepdims=True)
    assert (np.abs(fast.image - reference.image) / peak).max() < 1e-5
    assert np.array_equal(fast.label, reference.label)
    for name, values in fast.params.items():
        assert np.array_equal(values, reference.params[name], equal_nan=True), name


def test_options_reach_the_data_set(call):
    code, _, _ = call(f"{SMALL} --classes cdm,axion --pairs 4 --seed 9 --set lens.e1=0.2")
    assert code == 0
    data = shards.read(Path("data"))
    assert data.label_names == ["cdm", "axion"]
    assert data.image_lr is not None
    assert data.image_lr.shape == (6, 1, 16, 16)
    assert (data.params["e1"] == 0.2).all()
    assert data.config["seed"] == 9


def test_the_same_command_again_has_nothing_to_do(call):
    assert "wrote data" in call(SMALL)[1]
    code, out, _ = call(SMALL)
    assert code == 0
    assert "already complete: data" in out


def test_another_command_in_the_same_folder_is_refused(call, refused):
    call(SMALL)
    assert "holds a data set with seed = 0, not 1; choose another --out" in refused(
        f"{SMALL} --seed 1"
    )


def test_inspect_shows_a_data_set_and_names_what_is_damaged(call):
    call(SMALL)
    code, out, err = call("inspect data --verify")
    assert (code, err.count("error")) == (0, 0)
    assert "picture: data/preview.png\nall 1 shards are intact\n" in out
    shard = Path("data/shard-00000.h5")
    whole = shard.read_bytes()
    middle = len(whole) // 2  # in an image
    shard.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert call("inspect data")[0] == 0
    code, out, err = call("inspect data --verify")
    assert code == 2
    assert "intact" not in out
    damaged = f"error: {shard} has another checksum than when it was written"
    assert err.splitlines()[-1].startswith(damaged + "; run the command that made it again")
    call(SMALL)
    assert call("inspect data --verify")[0] == 0
    shard.write_bytes(b"")
    code, _, err = call("inspect data")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {shard} is truncated or not a shard of this program; run the")
