"""What the checks share: a database made from the template, Odoo runs, reading of Odoo's test log."""

import ast
import dataclasses
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

SETUP = Path(__file__).resolve().parents[1]
ROOT = SETUP.parent
WORK = Path(os.environ.get("MB_WORK") or ROOT / ".work").absolute()
FILESTORE = WORK / "data-test/filestore"
LOGS = WORK / "logs"
PREFIX = "mb" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]  # a server may serve several checkouts

LOG_LINE = re.compile(
    r"^\d{4}-\d\d-\d\d [\d:,]+ \d+ (?P<level>[A-Z]+) (?P<db>\S+) (?P<logger>[\w.]+): (?P<text>.*)"
)
STARTED = re.compile(r"^Starting (\w+\.\w+) \.\.\.")
SKIPPED = re.compile(r"^skipped (\w+\.\w+) : (.*)")
BAD = re.compile(r"^(FAIL|ERROR): (.+)")
TOTAL = re.compile(r"(\d+) failed, (\d+) error\(s\) of (\d+) tests")


def addons(with_tests=False):
    """Names of the modules of this project, in the order of installing."""
    names = [
        name
        for name in ("milestone_billing", "milestone_billing_crypto")
        if (ROOT / name / "__manifest__.py").exists()
    ]
    if with_tests:
        names += sorted(path.parent.name for path in (ROOT / "tests").glob("*/__manifest__.py"))
    return names


def folder_of(module):
    return ROOT / module if (ROOT / module).exists() else ROOT / "tests" / module


def free_port():
    """A port that nobody listens on now."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def psql(database, query):
    done = subprocess.run(
        ["psql", "-XAtqd", database, "-c", query], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


class Database:
    """A copy of a database with its files; dropped at the end of the ``with`` block unless MB_KEEP is set."""

    def __init__(self, name, source=None):
        self.name = f"{PREFIX}_{name}"
        self.source = (
            source
            or subprocess.run(
                [SETUP / "template"], check=True, stdout=subprocess.PIPE, text=True
            ).stdout.strip()
        )

    def __enter__(self):
        self.drop()
        subprocess.run(["createdb", "-T", self.source, self.name], check=True)
        if (FILESTORE / self.source).exists():  # files of a store are never rewritten: links will do
            subprocess.run(["cp", "-al", FILESTORE / self.source, FILESTORE / self.name], check=True)
        return self

    def __exit__(self, *error):
        if not os.environ.get("MB_KEEP"):
            self.drop()

    def drop(self):
        subprocess.run(["dropdb", "--if-exists", "-f", self.name], check=True, stderr=subprocess.DEVNULL)
        shutil.rmtree(FILESTORE / self.name, ignore_errors=True)

    def odoo(self, *args, log):
        """Run Odoo's server on this database; return its exit status, its output goes to the file `log`."""
        port = ["--http-port", str(free_port()), "--max-cron-threads=0"]
        return self.run("-d", self.name, *port, *args, log=log)

    def install(self, log):
        """Install all our modules and compile the bundles; raise RuntimeError at any error that is logged."""
        modules = ",".join(addons(with_tests=True))
        status = self.odoo("-i", modules, "--stop-after-init", "--log-level=warn", log=log)
        outcome = read_log(log)
        if status or outcome.errors:
            raise RuntimeError(f"{modules}: {outcome.errors or status}; the end of {log}:\n{tail(log)}")
        for line in dict.fromkeys(outcome.warnings):
            print(f"  warning: {line}")
        self.shell(
            "env['ir.qweb']._pregenerate_assets_bundles(); env.cr.commit()", log.with_suffix(".assets.log")
        )

    def run(self, *args, log, stdin=None):
        """Run any command of Odoo; return its exit status."""
        LOGS.mkdir(parents=True, exist_ok=True)
        line = [SETUP / "odoo-bin", *args]
        with Path(log).open("w") as output:
            return subprocess.run(
                line, check=False, input=stdin, text=True, stdout=output, stderr=subprocess.STDOUT
            ).returncode

    def shell(self, code, log):
        """Run Python code in Odoo's shell; the code commits what shall stay. Raises when it fails."""
        status = self.run("shell", "-d", self.name, "--no-http", "--log-level=warn", log=log, stdin=code)
        if status:
            raise RuntimeError(f"the shell ended with {status}; the end of {log}:\n{tail(log)}")
        return Path(log).read_text()


def _content_key(source):
    """A key of what an installation depends on: the template and each file of our modules, their tests apart."""
    key = hashlib.sha256(source.encode())
    for module in addons(with_tests=True):
        folder = folder_of(module)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not {"tests", "__pycache__"} & {*path.relative_to(folder).parts}:
                key.update(str(path).encode() + b"\0" + path.read_bytes())
    return key.hexdigest()[:8]


def installed():
    """Return the name of a database with all our modules installed and bundles compiled; made anew when a file changed.

    It waits while another check makes it. Raises RuntimeError where a module cannot be installed or an error is logged.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    with (WORK / ".lock-installed").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        database = Database("installing")
        name = f"{PREFIX}_installed_{_content_key(database.source)}"
        if psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            return name
        for old in psql(
            "postgres", f"SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}\\_installed\\_%'"
        ).split():
            subprocess.run(["dropdb", "--if-exists", "-f", old], check=True)
            shutil.rmtree(FILESTORE / old, ignore_errors=True)
        with database:
            database.install(LOGS / "installed.log")
            shutil.rmtree(FILESTORE / name, ignore_errors=True)
            (FILESTORE / database.name).rename(FILESTORE / name)
            psql("postgres", f'ALTER DATABASE "{database.name}" RENAME TO "{name}"')
        return name


def tail(path, count=25):
    return "\n".join(Path(path).read_text(errors="replace").splitlines()[-count:])


@dataclasses.dataclass
class Outcome:
    """What a test log tells."""

    started: dict = dataclasses.field(default_factory=dict)  # "module.file" -> names
    skipped: list = dataclasses.field(default_factory=list)
    bad: list = dataclasses.field(default_factory=list)
    errors: list = dataclasses.field(default_factory=list)  # lines of level ERROR that belong to no test
    warnings: list = dataclasses.field(default_factory=list)
    total: int = 0

    @property
    def passed(self):
        """Tests that ran to their end and found nothing."""
        names = {f"{module}:{name}" for module, names in self.started.items() for name in names}
        lost = {
            match[0] for line in (*self.bad, *self.skipped) if (match := re.search(r"\w+\.test_\w+", line))
        }
        return len([name for name in names if name.split(":")[1] not in lost])


def read_log(path):
    """Read an Odoo log into an Outcome."""
    outcome = Outcome()
    for line in Path(path).read_text(errors="replace").splitlines():
        if not (match := LOG_LINE.match(line)):
            continue
        level, logger, text = match["level"], match["logger"], match["text"]
        if started := STARTED.match(text):
            outcome.started.setdefault(logger.removeprefix("odoo.addons."), []).append(started[1])
        elif skipped := SKIPPED.match(text):
            outcome.skipped.append(f"{skipped[1]}: {skipped[2]}")
        elif bad := BAD.match(text):
            outcome.bad.append(f"{bad[1]}: {bad[2]}")
        elif total := TOTAL.search(text):
            outcome.total += int(total[3])
        elif level in ("ERROR", "CRITICAL"):
            outcome.errors.append(f"{logger}: {text}")
        elif level == "WARNING":
            outcome.warnings.append(f"{logger}: {text}")
    return outcome


def _tags(decorators):
    return {
        arg.value
        for call in decorators
        if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) == "tagged"
        for arg in call.args
        if isinstance(arg, ast.Constant)
    }


def written_tests(module):
    """Map each test file of a module to (names of its test methods, tags of its classes)."""
    found = {}
    for path in sorted((folder_of(module) / "tests").glob("test_*.py")):
        tests, tags = [], set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                tags |= _tags(node.decorator_list)
                tests += [
                    f"{node.name}.{item.name}"
                    for item in node.body
                    if isinstance(item, ast.FunctionDef) and item.name.startswith("test_")
                ]
        found[path.stem] = (tests, tags)
    return found


def close(passed, failed, problems=()):
    """Print the problems and the last line that tells the counts; exit accordingly."""
    for problem in problems:
        print(f"  {problem}")
    if not passed + failed:
        print("  no test ran: that is a failure")
        failed = 1
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(bool(failed))


class Steps:
    """A check made of named steps: each one passes or raises."""

    def __init__(self):
        self.passed, self.problems = 0, []

    def step(self, title, function, *args):
        started = time.monotonic()
        try:
            function(*args)
        except Exception as error:  # noqa: BLE001 - a check reports every failure by name and goes on
            self.problems.append(f"{title}: {type(error).__name__}: {error}")
            print(f"FAIL {title}", flush=True)
            return False
        self.passed += 1
        print(f"ok   {title} ({time.monotonic() - started:.0f} s)", flush=True)
        return True

    def close(self):
        close(self.passed, len(self.problems), self.problems)
