"""Makes sure that a Chromium is there for the console's tests.

Finds one on PATH (or in $CHROMIUM); else installs the distribution's package when we may, else lets
Playwright fetch its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def found() -> str:
    """The path of a Chromium, or ""."""
    return os.environ.get("CHROMIUM", "") or next(
        (path for name in NAMES if (path := shutil.which(name))), ""
    )


def main() -> int:
    if found():
        return 0
    print("No Chromium here: installing one for the console's tests …", flush=True)
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        attempts.insert(0, ["apt-get", "install", "--yes", "--quiet", "chromium"])
        subprocess.run(["apt-get", "update", "--quiet"], check=False, stdout=subprocess.DEVNULL)
    for command in attempts:
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0:
            return 0
    print(
        "Could not install Chromium. Install it with your package manager, or set CHROMIUM to "
        "its path, and run again.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
