from . import test_access, test_receipts, test_wallet, test_watcher
