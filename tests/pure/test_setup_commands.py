"""What setup/run says when it cannot begin: what is missing, and what to do; and that it harms nothing."""

import fcntl
import os
import socket
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "setup"
SERVER = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGSERVICE", "MB_POSTGRES")


def run(tmp_path, command, *args, **variables):
    env = {key: value for key, value in os.environ.items() if key not in SERVER}
    return subprocess.run(
        [SETUP / command, *args],
        env={**env, "MB_WORK": str(tmp_path / "a work folder"), **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--port", "http"], "--port wants a number from 1 to 65535"),
        (["--port", "70000"], "--port wants a number from 1 to 65535"),
        (["--port", "0"], "--port wants a number from 1 to 65535"),
        (["--port"], "--port wants a number from 1 to 65535"),
        (["--with"], "--with wants a command"),
        (["--rest"], "unknown argument --rest; setup/run --help tells the others"),
    ],
)
def test_wrong_argument_is_named(tmp_path, args, words):
    done = run(tmp_path, "run", *args)
    assert done.returncode == 1
    assert done.stderr == f"ERROR: {words}\n"


def test_help_names_every_option(tmp_path):
    done = run(tmp_path, "run", "--help")
    assert done.returncode == 0
    for option in ("--port", "--reset", "--once", "--with"):
        assert f"setup/run {option}" in done.stdout


def test_port_that_is_taken_is_found_before_any_work(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run(tmp_path, "run", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} is taken by another program" in done.stderr
    assert f"setup/run --port {port % 65535 + 1}" in done.stderr
    assert "1/5" not in done.stderr


@pytest.mark.parametrize("args", [[], ["--reset"], ["--reset", "--once"]])
def test_demo_that_is_served_is_left_alone(tmp_path, args):
    work = tmp_path / "a work folder"
    work.mkdir()
    (work / "demo.port").write_text("8123\n")
    with (work / ".lock-demo").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(tmp_path, "run", *args)
    assert done.returncode == 1
    assert "works in this checkout already, on port 8123" in done.stderr
    assert "1/5" not in done.stderr


def test_work_folder_of_somebody_else_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = run(tmp_path, "run", MB_WORK=str(tmp_path / "file"))
    assert done.returncode == 1
    assert f"cannot write to the work folder {tmp_path / 'file'}" in done.stderr
    assert "set MB_WORK" in done.stderr


def test_wrong_server_is_named_with_the_way_out(tmp_path):
    (tmp_path / "a work folder").mkdir()
    done = run(
        tmp_path, "postgres", "start", "demo", PGHOST=str(tmp_path), PGUSER="odoo", MB_PYTHON_LIST="test"
    )
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "unset them: then a private server is started here" in done.stderr
    assert done.stdout == ""
