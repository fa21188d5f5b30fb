# Runs in Odoo's shell on the demo database: prints who can log in, the client's personal link, and what to try first.
users = env["res.users"].search([("login", "in", ("admin", "demo", "portal"))])  # noqa: F821
print("\n  Milestone Billing runs at {address}")
for user in users:
    print(f"  {user.login} / {user.login}   {user.name}")
print("  Ctrl-C stops it. The server's log: {log}\n", flush=True)
