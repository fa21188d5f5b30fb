# Runs in Odoo's shell on the demo database: who can log in, the client's personal link, and what to try first.
# ruff: noqa: F821 - the shell gives env; {address} and {log} are filled in by setup/run
import re

ROLES = [
    ("finance", "finance", "sets up schedules, bills, chases"),
    ("pm", "project manager", "completes milestones, adds proof of work"),
    ("client", "client", "sees and decides in the customer portal"),
    ("admin", "administrator", "settings"),
]


def find_review_path():
    """The newest personal link in a mail to a client whose answer is still awaited."""
    waiting = env["milestone.billing.approval"].search([("state", "=", "requested")])
    mails = env["mail.mail"].search([("body_html", "ilike", "/ma/")], order="id desc")
    for mail in mails:
        link = re.search(r"/ma/[^\"'\s<]+", mail.body_html)
        about_waiting = any(approval.line_id.name in (mail.subject or "") for approval in waiting)
        if link and (about_waiting or len(mails) == 1):
            return link[0].replace("&amp;", "&")
    return None


def main():
    print("\n  Milestone Billing runs at  {address}\n")
    print("  login     password  who")
    for login, role, does in ROLES:
        user = env["res.users"].search([("login", "=", login)])
        if user:
            print(f"  {login:<10}{login:<10}{user.name}, {role}: {does}")
    if path := find_review_path():
        print("\n  The link in the client's mail (no login needed; best on a phone's width):")
        print("  {address}" + path)
    print("""
  Try first:
  1. Open the client's link: look at the proof, approve. The invoice is posted and Pay Now is there; pay with "Demo".
  2. As finance: Sales > Orders, the web project: tab Milestones. What is billed, what waits, and why.
  3. As pm: Project, the web project: tick the next milestone. Its draft invoice is there at once.
  4. As finance: a new quotation, pick a milestone template, confirm.
  5. Invoicing > Customers > Invoices: open one and print it.
  6. As client, under My Account: a change order waits (before and after, paper); the retainer shows its hours.
  7. As finance: Milestone Billing > On-Demand Billing: Charge Now. Retainers: Bill Next, Send Statement.
  8. As finance, orders of Meadow Homes: the show house came part-billed (Billed Before), the loading dock waits for
     Release Retainage (on its schedule), the garden pavilion for End Contract. The bakery's booking app is blocked
     by an overdue payment: Remind, or Open before Payment.

  No mail leaves this machine; what would be sent is under Settings > Technical > Emails (as admin).
  Ctrl-C stops it. The server's log: {log}
""", flush=True)  # fmt: skip


main()
