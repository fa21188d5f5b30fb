from . import test_approval_portal
from . import test_evidence
from . import test_evidence_export
from . import test_invoicing
from . import test_main_job
from . import test_pdf
from . import test_proof
from . import test_queue
from . import test_reminder
from . import test_schedule
from . import test_state
from . import test_statement
from . import test_webhook
from . import test_worked_figures_retainage
from . import test_evidence, test_invoicing, test_main_job, test_pdf, test_proof, test_queue, test_schedule
from . import test_state, test_statement, test_webhook
from . import test_worked_figures_retainage
from . import test_worked_figures_deposit
from . import test_dashboard
