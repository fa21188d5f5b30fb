from . import milestone_billing_batch
from . import milestone_billing_evidence_export
from . import milestone_billing_on_behalf
from . import milestone_billing_release
from . import milestone_billing_charge
from . import milestone_billing_payment_link
from . import milestone_billing_import
