from . import (
    test_access,
    test_anchor,
    test_checkout,
    test_milestone,
    test_race,
    test_receipts,
    test_transport,
    test_wallet,
    test_wallet_approval,
    test_wallet_books,
    test_watcher,
)
