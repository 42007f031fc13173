"""Makes a new landscape: the smallest one that passes `check`, to grow from."""

from __future__ import annotations

from pathlib import Path

from tieout.landscape.form import NAME

_TEMPLATE = Path(__file__).resolve().parent / "template_files"
_PLACEHOLDER = "landscape_name"


class CannotMake(Exception):
    """A new landscape cannot be written here. Says why and what to do."""


def new(folder: Path, name: str) -> tuple[Path, ...]:
    """Write a minimal landscape called `name` into `folder`; returns the files written.

    Raises CannotMake if the name will not do or the folder holds something already: nothing is
    ever overwritten.
    """
    if not NAME.fullmatch(name):
        raise CannotMake(
            f"'{name}' is not a name for a landscape: use letters, digits and underscores, "
            "starting with a letter, at most 63"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotMake(f"'{folder}' is there and not empty: choose another folder")
    written: list[Path] = []
    for source in sorted(_TEMPLATE.rglob("*")):
        if not source.is_file() or source.suffix not in (".yaml", ".csv", ".md"):
            continue
        target = folder / source.relative_to(_TEMPLATE)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text("utf-8").replace(_PLACEHOLDER, name)
            target.write_text(text, "utf-8")
        except OSError as error:
            raise CannotMake(f"cannot write '{target}': {error.strerror}") from error
        written.append(target)
    return tuple(written)
