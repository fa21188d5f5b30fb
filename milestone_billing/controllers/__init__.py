from . import milestone_billing_reminder
from . import access_log
from . import review_link
from . import review
from . import proof
from . import portal
from . import payment
from . import milestone_billing_xlsx
