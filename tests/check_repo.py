"""Check what no linter knows: manifests, XML ids, access lists, test files, words that do not belong here.

Run it alone: ``python tests/check_repo.py``. It needs nothing but Python.
"""

import ast
import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
TOP = {"milestone_billing", "milestone_billing_crypto", "tests", "docker", "setup", "README.md", "LICENSE"}
TOP_CONFIGURATION = {"pyproject.toml", "package.json", "package-lock.json"}
LINES_MAX = 500
LONGER = {"milestone_billing/tools/verify.py"}  # an outsider takes this one file and runs it
# Put together from pieces, so that this file does not find itself.
FOREIGN = [
    r"\b(dep\.debian|deb\.debian|pypi|npmjs|pythonhosted)\.(org|com)\b",
    r"(^|[\s\"'(=])/" + r"(work|opt/mb)/",
    r"\b" + "A" + r"I (agent|assistant)\b",
    "language" + " model",
    r"\b" + "issue" + r" #?\d\b",
    r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b",
    "Not" + "ImplementedError",
]
TEXT = {
    ".py",
    ".js",
    ".xml",
    ".csv",
    ".md",
    ".sh",
    ".toml",
    ".yml",
    ".yaml",
    ".conf",
    ".in",
    ".txt",
    ".scss",
    ".po",
    ".pot",
    "",
}


def tracked():
    """Files of the project: what git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [path for line in sorted(set(done.stdout.splitlines())) if (path := ROOT / line).is_file()]


def modules():
    return sorted(
        path.parent for path in (*ROOT.glob("*/__manifest__.py"), *ROOT.glob("tests/*/__manifest__.py"))
    )


def short(path):
    return str(path.relative_to(ROOT))


def check_top_level(files):
    """The top level stays as small as the README promises."""
    for name in sorted({short(path).split("/")[0] for path in files}):
        if name not in TOP | TOP_CONFIGURATION and not name.startswith("."):
            yield f"{name}: does not belong to the top level"


def check_words(files):
    """No registry's host, no path of one machine, nothing left open."""
    for path in files:
        if path.suffix not in TEXT:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern in FOREIGN:
                if re.search(pattern, line):
                    yield f"{short(path)}:{number}: {line.strip()[:100]} (matches {pattern})"


def check_sizes(files):
    """One noun, one file: a longer one wants to be two."""
    for path in files:
        if (
            path.suffix == ".py"
            and short(path) not in LONGER
            and (count := len(path.read_text().splitlines())) > LINES_MAX
        ):
            yield f"{short(path)}: {count} lines, {LINES_MAX} at most"


def check_manifest(module):
    """What a manifest names exists, and what should be named is."""
    manifest = ast.literal_eval((module / "__manifest__.py").read_text())
    named = [*manifest.get("data", []), *manifest.get("demo", [])]
    for name, times in Counter(named).items():
        if times > 1:
            yield f"{short(module)}: the manifest names {name} {times} times"
        if not (module / name).is_file():
            yield f"{short(module)}: the manifest names {name}, which is not there"
    for folder in ("data", "views", "security", "report", "wizard", "demo"):
        for path in sorted((module / folder).glob("*.xml")) + sorted((module / folder).glob("*.csv")):
            if str(path.relative_to(module)) not in named:
                yield f"{short(path)}: not in the manifest"
    for bundle, patterns in manifest.get("assets", {}).items():
        for pattern in patterns:
            text = pattern if isinstance(pattern, str) else pattern[-1]
            inside = text.removeprefix(f"{module.name}/")
            if inside != text and not list(module.glob(inside)):
                yield f"{short(module)}: the bundle {bundle} names {text}, which matches no file"
    if module.parent.name != "tests" and not re.fullmatch(
        r"19\.0\.\d+\.\d+\.\d+", manifest.get("version", "")
    ):
        yield f"{short(module)}: the version is not 19.0.x.y.z"


def check_xml_ids(module):
    """Within a module an XML id names one record in one file."""
    seen = {}
    for path in sorted(module.rglob("*.xml")):
        if "static" in path.parts:
            continue
        for node in ElementTree.parse(path).iter():
            if node.tag in ("record", "template", "menuitem") and (name := node.get("id")):
                if name in seen and "." not in name:
                    yield f"{short(path)}: the id {name} is already in {short(seen[name])}"
                seen[name] = path


def _model_names(module):
    """Names of the models that a module makes itself (not of those it extends), transient ones too."""
    for path in module.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef) or "tests" in path.parts:
                continue
            values = {
                target.id: item.value
                for item in node.body
                if isinstance(item, ast.Assign)
                for target in item.targets
                if isinstance(target, ast.Name)
            }
            abstract = any(getattr(base, "attr", "") == "AbstractModel" for base in node.bases)
            name = getattr(values.get("_name"), "value", None)
            inherited = getattr(values.get("_inherit"), "value", None)
            if name and name != inherited and not abstract:
                yield name, path


def check_access_lists(module):
    """Every model has its access list, and the list is well formed."""
    path = module / "security/ir.model.access.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    listed = {row["model_id:id"].split(".")[-1] for row in rows}
    for name, times in Counter(row["id"] for row in rows).items():
        if times > 1:
            yield f"{short(path)}: the id {name} is there {times} times"
    for row in rows:
        if not row["group_id:id"]:
            yield f"{short(path)}: {row['id']} gives rights to everybody, the public included"
    for name, source in _model_names(module):
        if "model_" + name.replace(".", "_") not in listed:
            yield f"{short(source)}: the model {name} has no line in security/ir.model.access.csv"


def check_tests(module):
    """Each test file is imported and holds tests; each test asserts something."""
    folder = module / "tests"
    if not folder.exists():
        return
    imported = (folder / "__init__.py").read_text() if (folder / "__init__.py").exists() else ""
    for path in sorted(folder.glob("test_*.py")):
        if not re.search(rf"\b{path.stem}\b", imported):
            yield f"{short(path)}: not imported in tests/__init__.py, so it never runs"
        yield from _check_test_methods(path)


def _check_test_methods(path):
    tests = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    if not tests:
        yield f"{short(path)}: holds no test"
    for name, times in Counter(node.name for node in tests).items():
        if times > 1 and path.parent.name == "pure":
            yield f"{short(path)}: {name} is there {times} times, only the last one runs"


def check_pure_tools(files):
    """Rules in tools/ stay free of Odoo, of the clock and of chance."""
    for path in files:
        if (
            path.suffix != ".py"
            or path.parent.name != "tools"
            or not path.parent.parent.name.startswith("milestone")
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                if name.split(".")[0] == "odoo":
                    yield f"{short(path)}: imports {name}; rules in tools/ must run without Odoo"


def main():
    files = tracked()
    problems = [*check_top_level(files), *check_words(files), *check_sizes(files), *check_pure_tools(files)]
    for module in modules():
        for check in (check_manifest, check_xml_ids, check_access_lists, check_tests):
            problems += check(module)
    for path in sorted((ROOT / "tests/pure").glob("test_*.py")) + sorted(
        (ROOT / "tests/e2e").glob("test_*.py")
    ):
        problems += _check_test_methods(path)
    for problem in problems:
        print(problem)
    print(f"{len(files)} files, {len(modules())} modules: {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
