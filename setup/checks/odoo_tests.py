"""Run tests of the addons on a fresh copy of the template, read the log, judge."""

import subprocess

import testbed

RACE = (
    "milestone_race"  # tag of tests with committed data and several connections: the check `races` runs them
)


def run(tags, name):
    """Run the tests of the tags on a fresh copy with all modules; return (exit status, outcome, log).

    They are all tests of after the installation ("post_install"): others would run nowhere.
    """
    log = testbed.LOGS / f"{name}.log"
    screenshots = testbed.WORK / "screenshots"
    loggers = [f"--log-handler=odoo.addons.{module}.tests:INFO" for module in testbed.addons(with_tests=True)]
    with testbed.Database(name, testbed.installed()) as database:
        status = database.odoo(
            f"--test-tags={tags}",
            "--stop-after-init",
            "--log-level=warn",
            "--log-handler=odoo.tests.result:INFO",
            *loggers,
            f"--screenshots={screenshots}",
            log=log,
        )
    return status, testbed.read_log(log), log


def has_browser():
    return (
        subprocess.run(
            [testbed.SETUP / "browser", "--find"], check=False, stdout=subprocess.DEVNULL
        ).returncode
        == 0
    )


def files_of(modules, part=1, parts=1):
    """Map the test files of modules, or of one of several parts of about equal size, to the number of their tests."""
    sizes = {
        (module, stem): len(tests)
        for module in modules
        for stem, (tests, tags) in testbed.written_tests(module).items()
        if "-standard" not in tags
    }
    ordered = sorted(sizes, key=lambda file: (-sizes[file], file))
    return {file: sizes[file] for file in ordered[part - 1 :: parts]}


def silent_files(files, outcome):
    """Test files of which nothing ran: forgotten in tests/__init__.py, or emptied."""
    for (module, stem), count in files.items():
        if not count:
            yield f"{module}/tests/{stem}.py holds no test"
        elif not outcome.started.get(f"{module}.tests.{stem}"):
            yield f"{module}/tests/{stem}.py: none of its {count} tests ran (is it in tests/__init__.py?)"


def judge(status, outcome, log, files=()):
    """Print the problems of a run and the closing line; each of the files must have been run."""
    problems = [*outcome.bad, *(f"logged: {line}" for line in outcome.errors)]
    problems += silent_files(dict(files), outcome)
    if outcome.skipped and has_browser():
        problems += [f"skipped: {line}" for line in outcome.skipped]
    else:
        for line in outcome.skipped:
            print(f"  not run (no browser): {line}")
    if status and not problems:
        problems.append(f"Odoo ended with {status}; the end of {log}:\n{testbed.tail(log)}")
    for line in dict.fromkeys(outcome.warnings):
        print(f"  warning: {line}")
    if problems:
        print(f"  the whole log: {log}")
    testbed.close(outcome.passed, len(problems), problems)
