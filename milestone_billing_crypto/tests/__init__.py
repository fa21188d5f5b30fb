from . import test_access, test_checkout, test_receipts, test_wallet, test_wallet_books, test_watcher
