"""What can go wrong, as sentences: all errors a user may see are :class:`KnightliteError`s.

A message is one sentence with names and numbers ("X must be Y, not Z"); the hint is the remedy.
Exit codes: 1 the request could not be carried out, 2 the request itself is wrong or unsupported.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeVar

Found = TypeVar("Found")
Fits = Callable[[Path], bool]

SHOWN_NAMES = 12  # of a longer list in a hint
FEW = 8  # findings that are told one by one
SEVERAL = 3  # places of a kind that are told as one
OPERATOR = re.compile("[A-Z][A-Za-z0-9]*")  # that a sentence begins with
NAME_OR_NUMBER = re.compile(r"[\d/_…]|\w\.\w")  # in a word that is particular to one place
PARTICULAR = "…"
NUMBERED = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)  # a name's stem, and the number at its end
NEAREST, NEAR = 3, 0.6  # names suggested at most, and how alike they are (of difflib)
BEGINNING = 3  # letters of a name, at least, that may stand for all of it
LOOKED_INTO = 12  # files that are looked into, for whether they are of the kind that is meant
LOOKED_AT = 2000  # files of a folder, where a name is looked for that is near to one of them


EXAMPLE_SHAPE = (1, 3, 224, 224)  # of an input, where nobody knows it


def open_shapes_hint(shapes: Sequence[Sequence[object] | None]) -> str:
    """The hint where inputs leave sizes open: ``-is`` as typed, which sizes are made up.

    ``shapes``: of every input, in order; what is no positive number is open, None all of it.
    """
    words = []
    for shape in shapes:
        known = EXAMPLE_SHAPE if shape is None or len(shape) > len(EXAMPLE_SHAPE) else shape
        sizes = [
            size if isinstance(size, int) and size > 0 else EXAMPLE_SHAPE[axis]
            for axis, size in enumerate(known)
        ]
        words += ["-is", *map(str, sizes)]
    return (
        f"say all sizes with -is/--input-shapes, as in {' '.join(words)}, where those that the "
        "model leaves open are examples: take what the network was trained on"
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found wrong or doubtful in a model, with where it is and what helps."""

    where: str  # node, tensor, file or option; "" where the sentence says it
    sentence: str
    hint: str = ""
    severity: str = "error"  # "error" or "warning"

    def __str__(self) -> str:
        hint = f" Hint: {self.hint}" if self.hint else ""
        where = f"{self.where}: " if self.where else ""
        return f"{where}{self.sentence}{hint}"


class KnightliteError(Exception):
    """Base of every error with a user-facing sentence."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str, hint: str = "", findings: Sequence[Finding] = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.findings = tuple(findings)


class UsageError(KnightliteError):
    """An option, a combination of options or a file that cannot be used as asked."""

    exit_code = 2


class UnsupportedError(KnightliteError):
    """The model or option is valid, but this version or this chip does not support it."""

    exit_code = 2


class ModelError(KnightliteError):
    """The model file is damaged or inconsistent."""


class DataError(KnightliteError):
    """Calibration data, pictures or simulator input cannot be used."""


class FormatError(KnightliteError):
    """A file of ours (.cfg, .weight, manifest, recipe, chip) is damaged or does not belong."""


class CapacityError(KnightliteError):
    """Something does not fit a memory of the chip: says need, have and remedy."""


class MachineError(KnightliteError):
    """The simulated machine stopped: race, out of bounds, uninitialised read, bad instruction."""


def as_json(error: KnightliteError) -> dict[str, str]:
    """An error for another process, which makes it again by :func:`from_json`; no findings."""
    return {"kind": type(error).__name__, "sentence": error.sentence, "hint": error.hint}


def from_json(told: Mapping[str, str]) -> KnightliteError:
    """The error that another process had."""
    kind = globals().get(told["kind"], KnightliteError)
    made: KnightliteError = kind(told["sentence"], told["hint"])
    return made


def suggestion(name: str, known: Iterable[str], what_else: str = "") -> str:
    """The hint for a name that is none of the known ones: the nearest to it, letter case apart.

    Where none is near, those there are, the first SHOWN_NAMES of many. ``what_else`` follows: where
    all of them are listed, or what may stand for a name.
    """
    names = [*known]
    listed = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
    near = nearest(name, names)
    if near or not names:
        return f"{near} {what_else}".strip()
    return f"one of {listed}; {what_else}" if what_else else f"one of {listed}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Of the known names the nearest to a wrong one, as a question, letter case apart; or ""."""
    near = near_names(name, known)
    return f"did you mean {' or '.join(near)}?" if near else ""


def near_names(name: str, known: Iterable[str], count: int = NEAREST) -> list[str]:
    """The nearest names, ``count`` at most; those that a name begins come first, if few."""
    from difflib import get_close_matches

    names = {item.casefold(): item for item in reversed([*known])}
    folded = name.casefold()
    longer = [item for item in names if len(folded) >= BEGINNING and item.startswith(folded)]
    longer = sorted(longer, key=len) if len(longer) <= NEAREST else []  # of many it says nothing
    alike = get_close_matches(folded, names, n=count, cutoff=NEAR)
    near = [*longer, *_numbered_near(folded, names), *alike]
    near = [*dict.fromkeys(near)][:count]
    near = [folded] if folded in names else near
    return [names[item] for item in near]


def _numbered_near(name: str, names: Iterable[str]) -> list[str]:
    """The names of the same stem, of which the numbers at their ends are nearest to a name's."""
    found = NUMBERED.fullmatch(name)
    if not found or not found[1]:
        return []
    others = filter(None, map(NUMBERED.fullmatch, names))
    number = int(found[2])
    same = [(abs(int(item[2]) - number), item[0]) for item in others if item[1] == found[1]]
    return [item for _, item in sorted(same)[:NEAREST]]


def not_there(
    what: str,
    path: str | Path,
    hint: str = "",
    *,
    folder: bool = False,
    endings: Sequence[str] = (),
    fits: Fits | None = None,
) -> UsageError:
    """The error for a file that is named and is none, or for such a ``folder``.

    ``what`` it is to be, as a sentence begins with it. Names that are near come first in the hint;
    ``hint`` is what makes such a file. ``endings``: how such files end, where only they are meant;
    ``fits``: which of them are of the kind that is meant, those that are not are named only where
    none near is.
    """
    path = Path(path)
    if folder and path.exists():
        return UsageError(
            f"{what} {path} is a file, not a folder.", hint or f"name its folder, {path.parent}"
        )
    if not folder and path.is_dir():
        return UsageError(f"{what} {path} is a folder, not a file.", "name the file inside it")
    if path.is_symlink():
        return UsageError(f"{what} {path} is a link that leads to no file.", "name a file")
    near = near_path(path, folder=folder, endings=endings, fits=fits)
    if fits is not None:
        near = near or near_path(path, folder=folder, endings=endings)
    near = near or listed_beside(path, folder=folder, endings=endings, fits=fits)
    if not near and not hint:
        near = nothing_beside(path, folder=folder)
    return UsageError(f"{what} {path} does not exist.", joined_hints(near, hint))


def together(*steps: Callable[[], Found]) -> list[Found]:
    """What each step gives. Where several refuse what is asked for, one UsageError says it all.

    An error of another kind stands alone, as does that of a single step.
    """
    found: list[Found] = []
    wrong: list[UsageError] = []
    for step in steps:
        try:
            found.append(step())
        except UsageError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        told = [error.findings or (Finding("", error.sentence, error.hint),) for error in wrong]
        findings = [item for some in told for item in some]
        raise UsageError(f"{len(findings)} things cannot be taken as asked for.", findings=findings)
    return found


def joined_hints(*hints: str) -> str:
    """Several hints as one; those that are "" are left out."""
    found = ""
    for hint in filter(None, hints):
        found += f"{'' if not found else ' ' if found.endswith('?') else '; '}{hint}"
    return found


def unreadable(
    what: str, path: str | Path, error: OSError, hint: str = "", fits: Fits | None = None
) -> UsageError:
    """The error for a named file that could not be opened: it is not there, or why else."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return not_there(what, path, hint, fits=fits)
    reason = error.strerror or str(error)
    return UsageError(f"{what} {path} cannot be read: {reason}.", hint)


def near_path(
    path: Path,
    *,
    folder: bool = False,
    endings: Sequence[str] = (),
    fits: Fits | None = None,
) -> str:
    """What lies near a path that leads nowhere, as a question or a clause; or "".

    Names of the same ending first; where a folder on the way is not there, what is near to that.
    ``fits``: files that are not of this kind are no answer.
    """
    above = path.parent
    if not above.is_dir():
        missing = path
        while missing != missing.parent and not missing.parent.is_dir():
            missing = missing.parent
        there = near_names(missing.name, _names_in(missing.parent, folder=True))
        rest = path.relative_to(missing)
        return _asked([missing.parent / item / rest for item in there]) or (
            f"there is no folder {missing}"
        )
    names = _names_in(above, folder)
    if folder:
        return _asked([above / item for item in near_names(path.name, names)])
    for some in (_ending_so(names, path, endings), () if endings else names):
        stems: dict[str, list[str]] = {}  # the ending says nothing of how near a name is
        for item in some:
            stems.setdefault(Path(item).stem, []).append(item)
        stem = path.stem if path.suffix in {Path(item).suffix for item in some} else path.name
        count = NEAREST if fits is None else LOOKED_INTO
        found = (above / item for stem in near_names(stem, stems, count) for item in stems[stem])
        near = [*itertools.islice((item for item in found if not fits or fits(item)), NEAREST)]
        if near:
            return _asked(near)
    return ""


def listed_beside(
    path: Path,
    *,
    folder: bool = False,
    endings: Sequence[str] = (),
    fits: Fits | None = None,
) -> str:
    """The files of a kind, or the folders, beside a path that leads nowhere, as a clause; or ""."""
    found = _names_in(path.parent, folder)
    found = found if folder else _ending_so(found, path, endings)
    if fits is not None:
        found = [item for item in found[:LOOKED_INTO] if fits(path.parent / item)]
    if not found or not (folder or endings or path.suffix):
        return ""
    more = ", ..." if len(found) > FEW else ""
    what = "the folders" if folder else "the files"
    return f"{what} there are {', '.join(found[:FEW])}{more}"


def nothing_beside(path: Path, *, folder: bool = False) -> str:
    """That no file of the kind of one that leads nowhere, or no folder, lies where it would."""
    where = path.parent.resolve()
    if folder:
        return f"{where} holds no folder"
    kind = f"{path.suffix} file" if path.suffix else "file of that name"
    return f"{where} holds no {kind}: name one by its path"


def _ending_so(names: Sequence[str], path: Path, endings: Sequence[str]) -> list[str]:
    ends = tuple(endings) or ((path.suffix.lower(),) if path.suffix else ())
    return [item for item in names if not ends or item.lower().endswith(ends)]


def _asked(paths: Sequence[Path]) -> str:
    """Paths that may have been meant, those that are there, as a question; or ""."""
    there = [str(path) for path in paths if path.exists()]
    return f"did you mean {' or '.join(there)}?" if there else ""


def _names_in(directory: Path, folder: bool) -> list[str]:
    """The names of a folder's files, or of its folders; hidden ones and the rest of many not."""
    try:
        with os.scandir(directory) as entries:
            found = [
                item.name
                for item in itertools.islice(entries, LOOKED_AT)
                if item.is_dir() is folder and not item.name.startswith(".")
            ]
    except OSError:
        return []
    return sorted(found)


def summarized(findings: Iterable[Finding]) -> list[Finding]:
    """What a person reads of more than :data:`FEW` findings: one for every kind.

    It says in how many places, of which operators, and shows the first one. The most frequent kinds
    come first; what is found in fewer than :data:`SEVERAL` places stays as it is.
    """
    whole = list(findings)
    if len(whole) <= FEW:
        return whole
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for item in whole:
        kinds.setdefault((item.severity, kind_of(item)), []).append(item)
    several = [some for some in kinds.values() if len({item.where for item in some}) >= SEVERAL]
    few = [item for some in kinds.values() if some not in several for item in some]
    return [_shown(some) for some in sorted(several, key=len, reverse=True)] + few


def kind_of(finding: Finding) -> str:
    """A finding's sentence without what is particular: the operator, names, numbers, shapes."""
    words = finding.sentence.replace(finding.where, PARTICULAR).split()
    if words and OPERATOR.fullmatch(words[0].rstrip(":")):
        words = words[1:]
    kept = [PARTICULAR if NAME_OR_NUMBER.search(word) else word.rstrip(",") for word in words]
    return " ".join(word for word, before in zip(kept, ["", *kept], strict=False) if word != before)


def next_step(errors: Sequence[Finding]) -> str:
    """What helps against many errors: a hint that all of them have, else another network."""
    (hint, *others) = dict.fromkeys(item.hint for item in errors)
    if hint and not others:
        return hint
    operators = operators_of(errors) or errors[0].where
    return f"export a network without these operators, or not as it has them: {operators}"


def operators_of(findings: Iterable[Finding]) -> str:
    """The operators that findings begin with, the most frequent first, each with their number."""
    first = (item.sentence.split(maxsplit=1)[0].rstrip(":") for item in findings if item.sentence)
    counts = Counter(word for word in first if OPERATOR.fullmatch(word))
    texts = [f"{word} ({count})" for word, count in counts.most_common(SHOWN_NAMES)]
    return ", ".join(texts) + (", ..." if len(counts) > SHOWN_NAMES else "")


def _shown(kind: Sequence[Finding]) -> Finding:
    """Findings of one kind as one."""
    operators = operators_of(kind)
    of = f" of {operators}" if "," in operators else ""
    return replace(kind[0], where=f"{len(kind)} places{of}, such as {kind[0].where}")


def findings_error(
    kind: type[KnightliteError], summary: str, findings: Sequence[Finding], hint: str = ""
) -> KnightliteError:
    """An error that lists all findings at once under one summary sentence."""
    return kind(summary, hint, findings)
