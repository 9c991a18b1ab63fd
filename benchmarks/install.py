"""What an installation takes: megabytes to download, and on the disk.

    python benchmarks/install.py ['.[heic]' ...]

Makes an environment in a temporary folder for each, as the README says it; needs a network.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import Request, url2pathname, urlopen

ROOT = Path(__file__).parents[1]


def main() -> None:
    for what in sys.argv[1:] or ["."]:
        with tempfile.TemporaryDirectory() as folder:
            downloaded, installed = measure(what, Path(folder))
        where = f"{sysconfig.get_platform()}, Python {sys.version.split()[0]}"
        print(f"{what}: {downloaded:.0f} MB to download, {installed:.0f} MB installed ({where})")


def measure(what: str, folder: Path) -> tuple[float, float]:
    """MB of all wheels, and MB that the environment grows by."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    before = size(folder / "venv")
    report = folder / "report.json"
    pip = [python, "-m", "pip", "install", "--quiet", "--report", str(report), what]
    subprocess.run(pip, check=True, cwd=ROOT)
    wheels = [each["download_info"]["url"] for each in json.loads(report.read_text())["install"]]
    return sum(map(length, wheels)) / 1e6, (size(folder / "venv") - before) / 1e6


def size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def length(url: str) -> int:
    """Bytes of a wheel, without getting it; of this project's folder none."""
    if url.startswith("file:"):
        file = Path(url2pathname(urlparse(url).path))
        return file.stat().st_size if file.is_file() else 0
    with urlopen(Request(url, method="HEAD")) as answer:
        return int(answer.headers["Content-Length"])


if __name__ == "__main__":
    main()
