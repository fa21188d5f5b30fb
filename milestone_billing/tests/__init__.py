from . import test_evidence, test_invoicing, test_main_job, test_pdf, test_schedule, test_state
from . import test_statement
from . import test_webhook
