from importlib.util import find_spec

from . import test_api_doc
from . import test_approval_access
from . import test_approval_decision
from . import test_approval_mail
from . import test_approval_passkey
from . import test_approval_portal
from . import test_change
from . import test_dashboard
from . import test_deposit_limit
from . import test_deposit_refund
from . import test_enrolment
from . import test_evidence
from . import test_evidence_export
from . import test_evidence_flow
from . import test_evidence_keeping
from . import test_evidence_print
from . import test_evidence_race
from . import test_evidence_rpc
from . import test_import
from . import test_invoicing
from . import test_main_job
from . import test_money_race
from . import test_paper_reports
from . import test_papers
from . import test_payment_closing
from . import test_pdf
from . import test_proof
from . import test_queue
from . import test_reminder
from . import test_retainer
from . import test_schedule
from . import test_state
from . import test_statement
from . import test_tie_out
from . import test_tours
from . import test_view_access
from . import test_webhook
from . import test_workbook
from . import test_worked_figures_deposit
from . import test_worked_figures_retainage
from . import test_worked_figures_retained_tax
from . import test_retained_tax_credit

# A database may be tested where the tools for random cases are not installed.
if find_spec("hypothesis"):
    from . import test_properties
