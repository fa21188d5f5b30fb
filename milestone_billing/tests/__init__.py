from . import test_main_job
from . import test_schedule
from . import test_invoicing
from . import test_state
