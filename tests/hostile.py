"""Write wheels that no honest tool would write: any members, with a RECORD that is true of them."""

import base64
import hashlib
import zipfile
from pathlib import Path

PROJECT = "llama_cpp_python"
VERSION = "9.9"
DIST_INFO = f"{PROJECT}-{VERSION}.dist-info"
DATA = f"{PROJECT}-{VERSION}.data"


def write_wheel(folder, members, *, project=PROJECT, version=VERSION, requires=()):
    """Write a wheel with these members, by path; return where it is."""
    info = f"{project}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {project.replace('_', '-')}\nVersion: {version}\n"
    texts = {
        f"{info}/METADATA": head + "".join(f"Requires-Dist: {one}\n" for one in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    everything = {**members, **texts}
    path = Path(folder) / f"{project}-{version}-py3-none-any.whl"
    lines = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in everything.items():
            content = data.encode() if isinstance(data, str) else data
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}\n")
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, content)
        archive.writestr(f"{info}/RECORD", "".join(lines) + f"{info}/RECORD,,\n")
    return path
