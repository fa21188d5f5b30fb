"""Load each addon's ``tools`` package by path, so that the pure tests need no Odoo.

``milestone_billing/tools/verify.py`` becomes importable as ``milestone_billing_tools.verify``; the addon itself
(its ``__init__.py`` imports the models, hence Odoo) is never imported. Works under pytest, which reads this file
first, and under ``python -m unittest discover -s tests/pure -t tests``, where each test file imports it by name.
"""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "tests" / "vectors"

# Random cases of each property; `setup/test properties` asks for more, and for others than every day's.
EXAMPLES = int(os.environ.get("MILESTONE_PURE_EXAMPLES", "2000"))
SEED = os.environ.get("MILESTONE_PROPERTY_SEED")

if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    # A machine that is busy makes no rule wrong.
    settings.register_profile("milestone", deadline=None)
    settings.load_profile("milestone")


def many_cases(test):
    """Run a property on many random cases: the same ones every day, those of a seed on demand.

    :param test: a test with `hypothesis.given`.
    """
    from hypothesis import seed, settings

    profile = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=not SEED, database=None, print_blob=bool(SEED)
    )
    return profile(seed(int(SEED))(test) if SEED else test)


def load_tools(addon):
    """Load ``<addon>/tools`` as the package ``<addon>_tools`` and return it.

    :param str addon: technical name of an addon at the root of the repository.
    """
    name = f"{addon}_tools"
    if name in sys.modules:
        return sys.modules[name]
    folder = ROOT / addon / "tools"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


for _init_file in sorted(ROOT.glob("*/tools/__init__.py")):
    load_tools(_init_file.parent.parent.name)
