"""The measures of super-resolved images."""

from learn.reporting.tasks.superres import REPORT
from tests.learn.reporting.conftest import SUPERRESOLVED

METRICS = {**SUPERRESOLVED, "class_psnr": {"cdm": 30.0}, "bicubic_class_psnr": {"cdm": 29.0}}


def test_decibels_of_a_class_are_on_the_page_and_not_on_the_terminal():
    (row,) = [row for row in REPORT.table("Test", METRICS).rows if row[0].text == "psnr cdm"]
    assert [entry.text for entry in row[1:]] == ["30.00 dB", "29.00 dB"]
    assert REPORT.terminal_table("Test", METRICS).head == ("", "mse", "psnr", "ssim")


def test_noise_free_targets_have_measures_of_their_own():
    both = METRICS | {"clean_psnr": 36.0, "bicubic_clean_psnr": 35.0}
    entries = REPORT.headline_entries(both)
    assert entries["clean psnr"].text == "36.00 dB"
    assert entries["bicubic clean psnr"].text == "35.00 dB"


def test_the_images_are_described_with_their_decibels():
    (alt,) = REPORT.alt_texts(METRICS | {"test_images": 60}).values()
    assert alt.endswith("PSNR over 60 test images: network 34.50 dB, bicubic 33.25 dB.")
