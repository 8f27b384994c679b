"""Models of many lenses, one after another; those that are there already stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from learn.modelling.lens_model import LensModel, check_priors, model_lens
from learn.modelling.output.draws_file import draws_file, write_draws
from learn.modelling.output.output_files import (
    check_folder,
    choose_out,
    find_origin,
    write_manifest,
)
from learn.modelling.output.outputs import write_failure, write_lens
from learn.modelling.output.page import PAGE, check_page, write_page
from learn.modelling.reading.lens_files import LensFiles
from learn.modelling.reading.lens_images import read_lens
from learn.modelling.settings import ModelSettings
from learn.modelling.tables.row_files import (
    ROW,
    check_lens,
    is_complete,
    lens_file,
    read_row,
    read_rows,
)
from learn.modelling.tables.rows import with_error
from learn.modelling.tables.tables import check_tables, write_tables
from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from lensphys.ground.locks import hold
from simulate.importers.errors import BrokenFileError, escape

#: Lenses that are skipped, and remarks of files, that are named one by one.
_NAMED = 10


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        folder: of the models.
        made, there, skipped: numbers of lenses: modelled now, before, and not at all.
    """

    folder: Path
    made: int
    there: int
    skipped: int

    @property
    def line(self) -> str:
        """The result in a line, for the end of the command."""
        if not self.made and not self.skipped:
            return f"already complete: {self.folder}"
        counts = [_count(self.made, "lens", "lenses")]
        counts += [f"{self.there} there already"] if self.there else []
        counts += [f"{self.skipped} skipped"] if self.skipped else []
        return f"wrote {self.folder} ({', '.join(counts)})"


def model_lenses(
    lenses: Sequence[LensFiles],
    settings: ModelSettings,
    progress: Callable[[int, int], Callable[[int], None]],
    note: Callable[[str], None],
    *,
    overwrite: bool = False,
) -> Outcome:
    """Model lenses and write their files, the tables and the page.

    A lens of which all files are there, made of the same input with the same settings, is not
    modelled again. One that cannot be read or modelled is noted, and stands in the table with the
    reason.

    Args:
        lenses: their files.
        settings: of the models.
        progress: called with the number of all lenses and of those already there; returns what to
            call with the number of lenses finished.
        note: called with lines on lenses: results, remarks on their files, reasons.
        overwrite: replace files that the command has not made, and models of other settings.

    Raises:
        InputError: for a folder that cannot be written to or holds other files, for priors of
            parameters that the fit does not have, and where no lens can be modelled.
    """
    out = choose_out(settings)
    check_priors(settings)
    check_folder(out, settings, lenses, overwrite=overwrite)
    settings = settings.model_copy(update={"device": choose_device(settings.device)})
    with hold(out):
        check_tables(out, overwrite=overwrite)
        check_page(out, overwrite=overwrite)
        origins = {lens.name: find_origin(lens, settings) for lens in lenses}
        todo = [lens for lens in lenses if not _is_done(out, lens, settings, origins[lens.name])]
        there = len(lenses) - len(todo)
        run = _Run(out, settings, origins, note, overwrite=overwrite)
        report = progress(len(lenses), there)
        try:
            for lens in todo:
                run.model(lens)
                report(1)
        finally:  # also where the user has had enough
            if run.made or there:
                run.finish()
    if not run.made and not there:
        name, reason = next(iter(run.failures.items()))
        several = f"none of the {len(lenses)} lenses can be modelled; " if len(lenses) > 1 else ""
        raise InputError(f"{several}{name}: {reason}")
    return Outcome(out, run.made, there, len(run.failures))


def _is_done(out: Path, lens: LensFiles, settings: ModelSettings, origin: dict[str, Any]) -> bool:
    """True for a lens that was modelled from the same input, and of which all files are there."""
    try:
        row = read_row(lens_file(out, lens.name, ROW))
        drawn = not settings.samples or draws_file(out, lens.name).is_file()
    except (InputError, OSError):
        return False
    return drawn and is_complete(out, row) and row.origin.get("digest") == origin["digest"]


class _Run:
    """One lens after another, with what was noted about them."""

    def __init__(
        self,
        out: Path,
        settings: ModelSettings,
        origins: dict[str, dict[str, Any]],
        note: Callable[[str], None],
        *,
        overwrite: bool,
    ) -> None:
        self._out, self._settings, self._origins = out, settings, origins
        self._note, self._overwrite = note, overwrite
        self._remarks: set[str] = set()
        self._skipped: list[LensFiles] = []
        self.failures: dict[str, str] = {}
        self.made = 0

    def model(self, lens: LensFiles) -> None:
        """Read, model and write one lens, or note why that cannot be done."""
        check_lens(self._out, lens.name, overwrite=self._overwrite)
        try:
            data = read_lens(lens, self._settings)
            self._remark(data.notes, lens)
            model = model_lens(data, self._settings)
        except BrokenFileError as error:
            self._skip(lens, str(error))
        except (ValueError, LinAlgError) as error:
            self._skip(lens, f"it cannot be modelled: {escape(str(error))}")
        else:
            write_manifest(self._out, self._settings)
            self._draw(model)
            origin = self._origins[lens.name]
            write_lens(model, self._out, origin=origin, overwrite=self._overwrite)
            self.made += 1
            self._note(describe(model))

    def _draw(self, model: LensModel) -> None:
        """Write draws from the posterior, if any are wanted; the row comes last."""
        count, seed = self._settings.samples, self._settings.seed
        if count:
            write_draws(model, self._out, count, seed, overwrite=self._overwrite)

    def finish(self) -> None:
        """Write the rows of lenses without a model, the tables and the page."""
        for lens in self._skipped:
            if self._has_model(lens):
                continue
            write_failure(
                lens.name,
                self.failures[_place(lens)],
                self._out,
                ra=lens.ra,
                dec=lens.dec,
                origin=self._origins[lens.name],
                overwrite=self._overwrite,
            )
        write_tables(read_rows(self._out), self._out, overwrite=self._overwrite)
        write_page(self._out, overwrite=self._overwrite)

    def _has_model(self, lens: LensFiles) -> bool:
        """True for a lens of which an earlier model is there: it is not lost with its input."""
        try:
            return is_complete(self._out, read_row(lens_file(self._out, lens.name, ROW)))
        except (InputError, OSError):
            return False

    def _skip(self, lens: LensFiles, reason: str) -> None:
        self.failures[_place(lens)] = reason
        self._skipped.append(lens)
        if len(self._origins) > 1 and len(self._skipped) <= _NAMED:
            kept = "; the model of before stays" if self._has_model(lens) else ""
            self._note(f"skipped {_place(lens)}: {reason}{kept}")

    def _remark(self, notes: Sequence[str], lens: LensFiles) -> None:
        """Note what was taken from files and done to it, each thing once."""
        for line in notes:
            if line in self._remarks:
                continue
            self._remarks.add(line)
            if len(self._remarks) <= _NAMED:
                self._note(f"{escape(lens.name)}: {line}")
            elif len(self._remarks) == _NAMED + 1:
                self._note(f"{self._out / PAGE} has the remarks on files of further lenses")


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _place(lens: LensFiles) -> str:
    """A lens as messages name it: by its row in a catalogue too."""
    if not lens.place:
        return escape(lens.name)
    # A row without a name has the number of its row for one.
    numbered = lens.place.rsplit(" ", 1)[-1] == lens.name
    return lens.place if numbered else f"{lens.place} ({escape(lens.name)})"


def describe(model: LensModel) -> str:
    """The model of a lens in a line: Einstein radius, chi^2 and flags."""

    def parts() -> Iterator[str]:
        result = model.result
        theta_E, error = (float(values["theta_E"][0]) for values in (result.params, result.errors))
        yield f"theta_E = {with_error(theta_E, error)} arcsec"
        yield f"chi^2/dof = {float(result.chi2_dof[0]):.2f}"
        yield from model.flags

    return f"{escape(model.data.name)}: {', '.join(parts())}"
