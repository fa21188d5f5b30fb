"""Derivation equal to two oracles over thousands of indices; each bad key refused with its own reason."""

import random
import unittest

from bip_utils import Bip32Slip10Secp256k1, Bip39SeedGenerator, Bip44, Bip44Changes, Bip44Coins
from conftest import load_tools
from eth_account import Account

load_tools("milestone_billing_crypto")
from milestone_billing_crypto_tools import xpub

#: The published test mnemonic of many tools; it holds nothing.
WORDS = "test test test test test test test test test test test junk"
SEED = Bip39SeedGenerator(WORDS).Generate()
ROOT = Bip32Slip10Secp256k1.FromSeed(SEED)
ACCOUNT = ROOT.DerivePath("m/44'/60'/0'")
ACCOUNT_XPUB = ACCOUNT.PublicKey().ToExtended()
CHAIN_XPUB = ACCOUNT.ChildKey(0).PublicKey().ToExtended()
#: First addresses of that mnemonic, as development nodes print them.
KNOWN = ["0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"]


class TestXpub(unittest.TestCase):
    def test_known_first_addresses(self):
        for text in (ACCOUNT_XPUB, CHAIN_XPUB):
            self.assertEqual(xpub.derive(xpub.check(text), [0, 1]), KNOWN)

    def test_three_thousand_indices_equal_bip_utils(self):
        indices = list(range(2500)) + random.Random(7).sample(range(2**31), 500)
        external = Bip44.FromSeed(SEED, Bip44Coins.ETHEREUM).Purpose().Coin().Account(0)
        external = external.Change(Bip44Changes.CHAIN_EXT)
        expected = [external.AddressIndex(i).PublicKey().ToAddress().lower() for i in indices]
        self.assertEqual(xpub.derive(xpub.check(ACCOUNT_XPUB), indices), expected)
        self.assertEqual(xpub.derive(xpub.check(CHAIN_XPUB), indices), expected)

    def test_sample_equals_eth_account(self):
        Account.enable_unaudited_hdwallet_features()
        for index in (0, 1, 2, 19, 20, 999, 2**31 - 1):
            oracle = Account.from_mnemonic(WORDS, account_path=f"m/44'/60'/0'/0/{index}")
            self.assertEqual(xpub.derive(xpub.check(ACCOUNT_XPUB), [index]), [oracle.address.lower()])

    def test_each_bad_key_has_its_reason(self):
        cases = {
            "private": [ACCOUNT.PrivateKey().ToExtended(), WORDS, ROOT.PrivateKey().ToExtended()],
            "network": ["tpub" + ACCOUNT_XPUB[4:], "zpub" + ACCOUNT_XPUB[4:], "ypub" + ACCOUNT_XPUB[4:]],
            "checksum": [ACCOUNT_XPUB[:-1] + ("1" if ACCOUNT_XPUB[-1] != "1" else "2")],
            "format": ["", "xpub", ACCOUNT_XPUB[:60], "0x" + "a" * 40, ACCOUNT_XPUB + "1" * 10],
            "depth_master": [ROOT.PublicKey().ToExtended()],
            "depth_single": [ACCOUNT.ChildKey(0).ChildKey(3).PublicKey().ToExtended()],
            "depth": [ROOT.DerivePath("m/44'/60'").PublicKey().ToExtended()],
            "curve": [_off_the_curve()],
        }
        for code, texts in cases.items():
            for text in texts:
                with self.subTest(code), self.assertRaises(xpub.XpubError) as caught:
                    xpub.check(text)
                self.assertEqual(caught.exception.code, code)
                self.assertNotIn(text[4:] or "nothing", str(caught.exception))

    def test_secrets_are_recognised_and_public_things_are_not(self):
        for text in (
            WORDS,
            WORDS + " " + WORDS,
            "0x" + "ab" * 32,
            "ab" * 32,
            ACCOUNT.PrivateKey().ToExtended(),
        ):
            self.assertTrue(xpub.is_secret(text))
            self.assertTrue(xpub.is_secret(f"  {text}\n"))
        numbered = "\n".join(f"{number}. {word}" for number, word in enumerate(WORDS.split(), 1))
        for text in (WORDS.upper(), WORDS.replace(" ", ", "), WORDS.replace(" ", "\n"), numbered):
            self.assertTrue(xpub.is_secret(text), text)
        for text in (ACCOUNT_XPUB, KNOWN[0], "Main wallet of the studio", "", None):
            self.assertFalse(xpub.is_secret(text))

    def test_hashes_are_secrets_only_where_none_is_expected(self):
        self.assertFalse(xpub.is_secret("0x" + "ab" * 32, may_be_hash=True))
        for text in (WORDS, ROOT.PrivateKey().ToExtended()):
            self.assertTrue(xpub.is_secret(text, may_be_hash=True))

    def test_hardened_and_negative_indices_are_refused(self):
        for index in (-1, 2**31):
            with self.assertRaises(xpub.XpubError):
                xpub.derive(xpub.check(ACCOUNT_XPUB), [index])


def _off_the_curve():
    from bip32.base58 import b58decode_check, b58encode_check

    raw = b58decode_check(ACCOUNT_XPUB)
    # x = 5 has no point on secp256k1
    text = b58encode_check(raw[:45] + b"\x02" + (5).to_bytes(32, "big"))
    return text.decode() if isinstance(text, bytes) else text


if __name__ == "__main__":
    unittest.main()
