"""Figure of a training."""

from learn.reporting.figures.training import draw_curves


def test_losses_are_drawn_from_the_curves_on_disk(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train_loss,val_loss\n0,2,1.5,\n0,2,,1.25\n1,4,-0.5,\n"
    )
    assert draw_curves(tmp_path, "a title") == tmp_path / "loss.png"
    assert (tmp_path / "loss.png").stat().st_size > 0


def test_epochs_are_whole_numbers_on_the_axis(tmp_path, monkeypatch):
    ticks = []

    def keep(figure, path):
        figure.draw_without_rendering()
        ticks.append([text.get_text() for text in figure.axes[0].get_xticklabels()])
        path.touch()

    monkeypatch.setattr("learn.reporting.figures.training.save_figure", keep)
    for count in (1, 2, 7):
        rows = "".join(f"{k},{k},{1 + k}\n" for k in range(count))
        (tmp_path / "metrics.csv").write_text(f"epoch,step,train_loss\n{rows}")
        draw_curves(tmp_path, "a title")
    assert all(label.isdecimal() for labels in ticks for label in labels)


def test_of_many_losses_ten_have_a_name(tmp_path, monkeypatch):
    names = [f"part{k}_loss" for k in range(12)] + ["train_loss", "val_loss"]
    (tmp_path / "metrics.csv").write_text(
        f"epoch,{','.join(names)}\n0,{','.join('1' for _ in names)}\n"
    )
    entries = []

    def keep(figure, path):
        entries.extend(text.get_text() for text in figure.axes[0].get_legend().get_texts())
        path.touch()

    monkeypatch.setattr("learn.reporting.figures.training.save_figure", keep)
    draw_curves(tmp_path, "a title")
    assert len(entries) == 10
    assert {"training", "validation"} <= {*entries}
