"""What can be wrong with a folder of files, and who mends it.

The codes are our own: no vendor stands behind a folder. `classify` is given the code and the words
that name the file.
"""

from __future__ import annotations

from tieout.ports.errors import ErrorRule, ErrorTable, VendorFault

ERRORS = ErrorTable(
    (
        ErrorRule(
            "outage",
            "the folder cannot be read",
            "Mount it, or correct 'folder' in environments/*.yaml.",
            code=("FOLDER",),
        ),
        ErrorRule(
            "denied",
            "the folder or a file may not be read by us",
            "Give the user that runs Tieout the right to read it.",
            code=("DENIED",),
        ),
        ErrorRule(
            "drift",
            "a file was changed after it was read",
            "Put the file back as it was, and deliver what is new under a new name.",
            code=("CHANGED",),
        ),
        ErrorRule(
            "drift",
            "the folder holds too many files",
            "Move files that were read to another folder.",
            code=("MANY",),
        ),
        ErrorRule(
            "drift",
            "a line of the file does not end",
            "Have the file made anew, as lines; it is no such file, or it was damaged on its way.",
            code=("ENDLESS",),
        ),
        ErrorRule(
            "drift",
            "the file's columns are not the declared ones",
            "Correct the interface in systems/, or have the file made as agreed.",
            code=("COLUMNS",),
        ),
    )
)


def fault(code: str, words: str) -> VendorFault:
    """A reading that stops until somebody has mended the folder."""
    return VendorFault(ERRORS.classify(None, code, words))
