"""The tables of what a milestone line and a submission may do in which state."""

PLANNED, SUBMITTED, APPROVED = "planned", "submitted", "approved"
CHANGES_REQUESTED, CANCELLED = "changes_requested", "cancelled"

LINE_TRANSITIONS = {
    (PLANNED, "submit"): SUBMITTED,
    (PLANNED, "approve_unasked"): APPROVED,
    (PLANNED, "cancel"): CANCELLED,
    (SUBMITTED, "approve"): APPROVED,
    (SUBMITTED, "request_changes"): CHANGES_REQUESTED,
    (SUBMITTED, "submit"): SUBMITTED,
    (SUBMITTED, "reopen"): PLANNED,
    (CHANGES_REQUESTED, "submit"): SUBMITTED,
    (CHANGES_REQUESTED, "reopen"): PLANNED,
    (CHANGES_REQUESTED, "cancel"): CANCELLED,
    (APPROVED, "submit"): SUBMITTED,
    (SUBMITTED, "contest"): CHANGES_REQUESTED,
    (CHANGES_REQUESTED, "contest"): CHANGES_REQUESTED,
    (APPROVED, "contest"): CHANGES_REQUESTED,
    (APPROVED, "reopen"): PLANNED,
    (PLANNED, "reinstate"): APPROVED,
    (CANCELLED, "restore"): PLANNED,
}

REQUESTED, DECLINED, EXPIRED, SUPERSEDED = "requested", "declined", "expired", "superseded"
CONTESTED, DEEMED_ACCEPTED = "contested", "deemed_accepted"

APPROVAL_TRANSITIONS = {
    (REQUESTED, "approve"): APPROVED,
    (REQUESTED, "request_changes"): CHANGES_REQUESTED,
    (REQUESTED, "decline"): DECLINED,
    (REQUESTED, "expire"): EXPIRED,
    (REQUESTED, "supersede"): SUPERSEDED,
    (REQUESTED, "cancel"): CANCELLED,
    (REQUESTED, "deem"): DEEMED_ACCEPTED,
    (REQUESTED, "contest"): CONTESTED,
    (APPROVED, "contest"): CONTESTED,
    (APPROVED, "supersede"): SUPERSEDED,
    (CHANGES_REQUESTED, "contest"): CONTESTED,
    (DECLINED, "contest"): CONTESTED,
    (DEEMED_ACCEPTED, "contest"): CONTESTED,
    (DEEMED_ACCEPTED, "supersede"): SUPERSEDED,
}


class TransitionError(ValueError):
    """An event that the table does not allow in this state."""

    def __init__(self, state, event):
        super().__init__(f"{event!r} is not allowed in state {state!r}")
        self.state, self.event = state, event


def next_state(state, event, table=None):
    """Look an event up in the table.

    :param str state: present state.
    :param str event: what happens.
    :return: the state afterwards.
    :raise TransitionError: if the pair is not in the table.
    """
    try:
        return (LINE_TRANSITIONS if table is None else table)[state, event]
    except KeyError:
        raise TransitionError(state, event) from None
