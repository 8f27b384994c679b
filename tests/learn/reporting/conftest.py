"""Folders of runs and comparisons with the files that a report reads, and a reader of its pages."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from learn.reporting.report import report

HOSTILE = "<script>alert('x')</script>&\"quoted\""
VOID = {"meta", "img", "br", "link", "input", "hr"}
CLASSIFIED = {
    "accuracy": 0.8125,
    "macro_auc": 0.9,
    "auc": {"no_sub": 0.95, "cdm": 0.85},
    "f1": {"no_sub": 0.8, "cdm": 0.7},
    "confusion": [[4, 0], [1, 3]],
    "ece": 0.05,
    "radial_accuracy": 0.75,
    "radial_macro_auc": 0.7,
    "radial_auc": {"no_sub": 0.6, "cdm": 0.65},
    "radial_ece": 0.1,
}
SUPERRESOLVED = {"mse": 4e-4, "psnr": 34.5, "ssim": 0.7} | {
    "bicubic_mse": 5e-4,
    "bicubic_psnr": 33.25,
    "bicubic_ssim": 0.65,
}
FOUND = {
    f"{prefix}{name}": 0.5
    for prefix in ("", "radial_")
    for name in ("auc", "tpr_at_fpr_1e-2", "tpr_at_fpr_1e-3", "accuracy", "completeness", "purity")
} | {"lenses": 9, "non_lenses": 6, "false_positive_rate": {"ring": 0.25}}
REGRESSED = {
    name: {"theta_E": value}
    for name, value in (("mae", 0.01), ("radial_mae", 0.02), ("mean_mae", 0.03), ("r2", 0.9))
} | {"coverage68": {"theta_E": 0.7}, "coverage95": {"theta_E": 0.96}}


class Page(HTMLParser):
    """The elements that a browser would find on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.values: list[list[list[str | None]]] = []
        self.within: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.within == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.within.append(tag)
        if tag == "table":
            self.tables.append([])
            self.values.append([])
        if tag == "tr":
            self.tables[-1].append([])
            self.values[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")
            self.values[-1][-1].append(dict(attrs).get("data-value"))

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & {*self.within}:
            self.words.append(data)
        if {"th", "td"} & {*self.within}:
            self.tables[-1][-1][-1] += data.strip()

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def draw(path: Path) -> None:
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(path)


def finetuned(folder: Path, task: str, metrics: dict[str, Any], **config: Any) -> Path:
    """The files of a finished run that a report reads."""
    folder.mkdir(parents=True)
    values = {"data": "data/model3", "seed": 4, "task": task, "encoder": "none", "mode": "full"}
    (folder / "config.yaml").write_text(yaml.safe_dump(values | config))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "metrics.csv").write_text("epoch,step,train_loss,val_loss\n0,2,1.5,\n0,2,,1.25\n")
    about = {"task": task, "data": {"attrs": {"model": 3, "preset": "physical"}}}
    (folder / "encoder.json").write_text(json.dumps(about))
    draw(folder / "loss.png")
    return folder


def pretrained(folder: Path, signs: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True)
    values = {"data": "data/model2", "seed": 0, "method": "mae"}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    (folder / "metrics.csv").write_text("epoch,step,train_loss,rank\n0,2,0.5,\n1,4,0.25,2.5\n")
    monitor = {"linear_probe": 0.5, "rank": 2.5, "collapsed": 0, "signs_of_collapse": list(signs)}
    about = {"method": "mae", "data": {"model": 2, "preset": "published"}, "monitor": monitor}
    (folder / "encoder.json").write_text(json.dumps(about | {"images": 60, "epochs": 2}))
    draw(folder / "loss.png")
    return folder


def compared(folder: Path) -> Path:
    """Cells of four rows and two seeds: accuracies 0.5 and 0.6, a twentieth more a row."""
    (folder / "cells").mkdir(parents=True)
    rows = (("radial", None), ("scratch", None), ("mae", 2), ("mae:plan", 2))
    for number, (method, source) in enumerate(rows):
        for seed in (0, 1):
            accuracy = 0.5 + 0.1 * seed + 0.05 * number
            cell = {
                "method": method,
                "preset": "published",
                "pretrain_model": source,
                "finetune_model": 3,
                "task": "classify",
                "mode": "full" if method in ("scratch", "mae:plan") else "linear",
                "labels_per_class": "all" if method == "mae:plan" else 10,
                "seed": seed,
                "metrics": {"accuracy": accuracy, "macro_auc": 0.75, "radial_accuracy": 0.25},
                "config": {"data": {"n": 60}},
                "commit": "0123456789ab",
                "seconds": 1.5,
            }
            (folder / "cells" / f"{number}_seed{seed}.json").write_text(json.dumps(cell))
    draw(folder / "label_efficiency.png")
    return folder


def read_report(folder: Path) -> Page:
    return Page(report(folder).read_text(encoding="utf-8"))


def folders(tmp_path: Path) -> list[Path]:
    return [
        finetuned(tmp_path / "runs/classify", "classify", CLASSIFIED),
        finetuned(tmp_path / "runs/superres", "superres", SUPERRESOLVED),
        finetuned(tmp_path / "runs/find", "find", FOUND),
        finetuned(tmp_path / "runs/regress", "regress", REGRESSED),
        pretrained(tmp_path / "runs/mae"),
        compared(tmp_path / "results/smoke"),
        tmp_path,
    ]
