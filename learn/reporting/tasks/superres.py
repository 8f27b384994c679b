"""The report of super-resolved images."""

from __future__ import annotations

import dataclasses

from learn.reporting.task_report import Baseline, Metrics, TaskReport, describe_tested

_MEASURES = ("mse", "psnr", "ssim")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperresReport(TaskReport):
    """Tables of the default kind, and a description of the images."""

    def alt_texts(self, metrics: Metrics) -> dict[str, str]:
        """Description of the rows of images."""
        return {
            "triptych": (
                "Rows of four images, one a lens, in arcsec with one scale of flux: low "
                "resolution, enlarged by bicubic interpolation, super-resolved, and the truth. "
                f"PSNR over {describe_tested(metrics).lower()}: {self.beside('psnr', metrics)}."
            )
        }


REPORT = SuperresReport(
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
