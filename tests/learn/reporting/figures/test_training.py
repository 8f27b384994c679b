"""Figure of a training."""

from learn.reporting.figures.training import draw_curves


def test_losses_are_drawn_from_the_curves_on_disk(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train_loss,val_loss\n0,2,1.5,\n0,2,,1.25\n1,4,-0.5,\n"
    )
    assert draw_curves(tmp_path, "a title") == tmp_path / "loss.png"
    assert (tmp_path / "loss.png").stat().st_size > 0
