"""Look into the wheels and zips of a release; see setup/checks/wheels."""

import ast
import hashlib
import sys
import zipfile
from pathlib import Path

import testbed


def check(module, folder):
    version = ast.literal_eval((testbed.folder_of(module) / "__manifest__.py").read_text())["version"]
    wheels = list(folder.glob(f"*{module}-{version}-*.whl"))
    if len(wheels) != 1:
        return [f"{module}: {len(wheels)} wheels of version {version}"]
    with zipfile.ZipFile(wheels[0]) as wheel, zipfile.ZipFile(folder / f"{module}-{version}.zip") as archive:
        prefix = f"odoo/addons/{module}/"
        inside = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
        wanted = {name.removeprefix(f"{module}/") for name in archive.namelist() if not name.endswith("/")}
        missing = wanted - inside - {"pyproject.toml"}
        metadata = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    problems = [f"{module}: the wheel lacks {name}" for name in sorted(missing)]
    if "Requires-Dist: odoo" not in metadata:
        problems.append(f"{module}: the wheel does not ask for Odoo")
    return problems


def main(folder):
    problems = {module: check(module, folder) for module in testbed.addons()}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split(maxsplit=1)
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            problems.setdefault(name, []).append(f"{name}: its checksum is not the one written down")
    good = sum(not found for found in problems.values())
    testbed.close(good, len(problems) - good, [line for found in problems.values() for line in found])


main(Path(sys.argv[1]))
