from . import milestone_billing_certificate
from . import milestone_billing_ledger
from . import milestone_billing_dashboard
from . import milestone_billing_workbook
from . import milestone_billing_application
from . import milestone_billing_customer
from . import milestone_billing_change
from . import milestone_billing_retainer
