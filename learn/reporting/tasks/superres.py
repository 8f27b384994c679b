"""The report of super-resolved images."""

from __future__ import annotations

from learn.reporting.task_report import Baseline, TaskReport

_MEASURES = ("mse", "psnr", "ssim")

REPORT = TaskReport(
    baseline=Baseline("bicubic", "bicubic"),
    headline={
        f"{target}{name}": f"{target}{name}".replace("_", " ")
        for target in ("", "clean_")
        for name in _MEASURES
    },
    labels={"class_psnr": "psnr", "clean_class_psnr": "clean psnr"},
    formats={
        f"{what}{name}": text
        for what in ("", "clean_", "fit_")
        for name, text in (("mse", "{:.2e}"), ("psnr", "{:.2f} dB"), ("class_psnr", "{:.2f} dB"))
    },
    page_only=("class_psnr", "clean_class_psnr"),
    captions={
        "triptych": (
            "Test images at low resolution, enlarged by bicubic interpolation, super-resolved, and "
            "the truth."
        ),
    },
)
