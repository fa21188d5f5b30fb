import os
import subprocess
import sys
from pathlib import Path

import odoo
from odoo.tests import BaseCase, get_db_name, tagged
from odoo.tools import config

#: Visitors, workers and reorganisations at once, on committed data: its own program, for it needs processes.
_PROGRAM = Path(__file__).resolve().parents[2] / "tests" / "e2e" / "evm_workers.py"


@tagged("-standard", "milestone_race", "post_install", "-at_install")
class TestRace(BaseCase):
    """Twenty workers on one network: nothing is lost, nothing is booked twice."""

    def test_twenty_workers_visitors_and_reorganisations(self):
        if not _PROGRAM.exists():
            self.skipTest("the program is part of the repository, not of the addon")
        paths = config["addons_path"]
        command = [sys.executable, str(_PROGRAM), "--database", get_db_name()]
        command += ["--addons-path", paths if isinstance(paths, str) else ",".join(paths)]
        python = [str(Path(odoo.__path__[0]).parent), *sys.path]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=570,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, python))},
        )
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        self.assertIn(" 0 failed", done.stdout.splitlines()[-1])
