# SPDX-License-Identifier: Apache-2.0
"""Tests of the model itself: its algebra, its verdicts, and that the protocol is still the one that it models."""
import pathlib
import unittest

import availability
import check
import claims
import protocol
import scenarios
from explorer import A, B, Explorer
from terms import (
    Knowledge, aead, agreed, ciphertext, constant, decapsulate, digest, name, public, sequence, shared, signature)

ROOT = pathlib.Path(__file__).resolve().parents[2]


class AlgebraTests(unittest.TestCase):
    def knows(self, known, term, *broken):
        return Knowledge(known, frozenset(broken)).has(term)

    def test_a_sealed_text_is_open_to_the_key_alone(self):
        key, text = name("key"), name("text")
        sealed = aead(key, constant("data"), sequence(text, constant("rest")))
        self.assertFalse(self.knows([sealed], text))
        self.assertTrue(self.knows([sealed, key], text))

    def test_a_key_inside_a_sealed_text_opens_the_next(self):
        inner, outer, text = name("inner"), name("outer"), name("text")
        data = constant("data")
        known = [aead(inner, data, text), aead(outer, data, inner), outer]
        self.assertTrue(self.knows(known, text))

    def test_a_kem_secret_is_known_to_the_key_and_to_who_made_it(self):
        secret, coins = name("secret"), name("coins")
        key = public("mlkem", secret)
        ct = ciphertext(key, coins)
        self.assertFalse(self.knows([key, ct], shared(key, coins)))
        self.assertTrue(self.knows([ct, secret], shared(key, coins)))
        self.assertTrue(self.knows([key, coins], shared(key, coins)))
        self.assertTrue(self.knows([key, ct], shared(key, coins), "mlkem"))
        self.assertFalse(self.knows([key, ct], shared(key, coins), "ecdh", "ed25519", "mldsa"))

    def test_a_ciphertext_for_another_key_gives_a_wrong_secret(self):
        one, other, coins = name("one"), name("other"), name("coins")
        ct = ciphertext(public("mlkem", one), coins)
        self.assertIs(decapsulate(one, ct), shared(public("mlkem", one), coins))
        self.assertIsNot(decapsulate(other, ct), decapsulate(one, ct))

    def test_agreement_is_one_value_from_both_sides(self):
        a, b = name("a"), name("b")
        secret = agreed(a, public("ecdh", b))
        self.assertIs(secret, agreed(b, public("ecdh", a)))
        points = [public("ecdh", a), public("ecdh", b)]
        self.assertFalse(self.knows(points, secret))
        self.assertTrue(self.knows(points + [a], secret))
        self.assertTrue(self.knows(points, secret, "ecdh"))

    def test_signatures_and_digests_are_made_of_what_they_need(self):
        secret, text = name("secret"), name("text")
        signed = signature("mldsa", secret, constant("role"), digest("h4", text))
        self.assertFalse(self.knows([text, public("mldsa", secret)], signed))
        self.assertTrue(self.knows([text, secret], signed))
        self.assertTrue(self.knows([text, public("mldsa", secret)], signed, "mldsa"))
        self.assertFalse(self.knows([digest("h4", text)], text))


class VerdictTests(unittest.TestCase):
    """A check that cannot fail is none."""

    def test_verdicts(self):
        self.assertIsNone(check.verdict("holds", "", None, True))
        self.assertIsNotNone(check.verdict("holds", "", "secrecy: …", True))
        self.assertIsNotNone(check.verdict("holds", "", None, False))
        self.assertIsNone(check.verdict("control", "secrecy", "secrecy: …", True))
        self.assertIsNotNone(check.verdict("control", "secrecy", None, True))
        self.assertIsNotNone(check.verdict("control", "secrecy", "replay: …", True))

    def test_a_precaution_more_takes_every_control_its_attack(self):
        """With all precautions in place, no control of the handshake yields its attack: each is about what it names."""
        for one in scenarios.CONTROLS:
            with self.subTest(one.title):
                real = scenarios.Scenario(**{**one.__dict__, "design": protocol.REAL})
                self.assertIsNone(Explorer(real, claims).run())

    def test_availability_controls_are_about_what_they_name(self):
        for plan in availability.PLANS:
            if plan.kind == "control":
                with self.subTest(plan.title):
                    real = availability.Plan(**{**plan.__dict__, "without": frozenset()})
                    self.assertIsNone(availability.explore(real)[1])

    def test_every_precaution_is_left_out_somewhere(self):
        missing = {p for s in scenarios.CONTROLS + scenarios.COVERED for p in s.design.without}
        self.assertEqual(missing, set(protocol.PRECAUTIONS))
        missing = {p for s in availability.PLANS for p in s.without}
        self.assertEqual(missing, set(availability.PRECAUTIONS))

    def test_an_honest_handshake_ends_on_both_sides(self):
        explorer = Explorer(scenarios.HOLDS[0], claims)
        self.assertIsNone(explorer.run())
        self.assertEqual({kind for kind, _ in explorer.reached}, {"I", "R"})


class CorrespondenceTests(unittest.TestCase):
    """What the model says of the protocol, in the words of the page and of the code. A change of either fails here, and asks
    whether the model still speaks of the same protocol."""

    TIES = {
        "docs/protocol.md": (
            "h2 = H(h0‖peer_id_R‖cookie);  h3 = H(h2‖S1[0..<3289])",
            "ck1 = Extract(h0, lv(ss_r)‖h3);  k1 = Expand(ck1,\"s1 enc\"‖h3,32);  h4 = H(h3‖payload1 without sigs)   I signs h4",
            "C1 = AES-256-GCM(k1, 0, ad h3, payload1);  h5 = H(h3‖C1)",
            "h6 = H(h5‖S2[0..<3293])",
            "ck2 = Extract(ck1, lv(ss_e)‖lv(ECDH(e_i,e_r))‖lv(ss_i)‖lv(psk or \"\")‖h6)",
            "h7 = H(h6‖payload2 without sigs)   R signs h7",
            "C2 = AES-256-GCM(k2, 0, ad h6, payload2);  h8 = H(h6‖C2);  M = Expand(ck2,\"master\"‖h8, 208)",
            "S1: 0 ver1 suite1 aeads1 flags1 │4 sender_index│8 nonce16│24 **ek_e** 1568│1592 **ct_r** 1568 = Encaps(k_R)│3160 "
            "**E_i** 129│3289 C1.",
            "payload1: peer_id_I 32 │ kind1 (0 brief, 1 full, 2 anonymous: full with throwaway keys) rsv1 versions2 │ mtu2 "
            "keepalive2 caps4 psk_id4 (0 none) │ [B e d k]",
            "S2: 0 ver1 suite1 aead1 flags1 (bit0: psk used)│4 sender_index_R│8 index_I│12 nonce16│28 **E_r** 129│157 **ct_e** "
            "1568 = Encaps(ek_e)│1725 **ct_i** 1568 = Encaps(k_I)│3293 C2.",
            "payload2: token32 │ mtu2 keepalive2 │ caps4 │ lifetime4 │ versions2 suites1 aeads1",
        ),
        "Sources/VPNCore/Handshake/S1Composition.swift": (
            "Transcript.start(responder: responder.peerID, cookie: cookie).adding(head)",
            "signer.sign(h3.adding(unsigned).hash, role: .initiator)",
        ),
        "Sources/VPNCore/Handshake/S1Opening.swift": (
            "h4: h3.adding(payload.unsigned)", "h5: h3.adding(s1.sealedPayload)"),
        "Sources/VPNCore/Handshake/S2Composition.swift": (
            "guard initiator.peerID == opened.payload.peerID else",
            "signer.sign(h6.adding(unsigned).hash, role: .responder)",
            "transcript: h6.adding(sealed), cipher: cipher",
        ),
        "Sources/VPNCore/Handshake/S2Opening.swift": (
            "signatures, of: h6.adding(payload.unsigned).hash, role: .responder, by: responder",
            "s2.cipher == CipherChoice.code(cipher)",
            "!s2.mixesChainedKey || preshared.chained != nil",
        ),
        "Sources/VPNCore/Handshake/Transcript.swift": (
            "Hash.sha512(KeySchedule.protocolHash, responder.bytes, cookie)",),
        "Sources/VPNCrypto/HybridCombiner.swift": (
            "input.append(lengthPrefixed: ephemeralKEM)\n        input.append(lengthPrefixed: ephemeralECDH)\n"
            "        input.append(lengthPrefixed: initiatorStatic)\n        input.append(lengthPrefixed: preShared)",),
        "Sources/VPNCore/Control/NodeStateMachine+Responding.swift": (
            "guard history.admit(opened.h4.hash, issued: entry.issued) == .fresh else",
            "// §5, in this order: cookie, puzzle, mac1, reassembly, rate, public-key work.",
        ),
        "Sources/VPNCore/Control/InitiatorStateMachine.swift": (
            "fragment.isAuthentic(under: ephemerals.fragmentKey)",
            "exchanges.count < Limits.retriesKept",
            "retry.openCookie(answering: s0, sealingID: sealingID)",
        ),
    }

    def test_the_page_and_the_code_say_what_is_modelled(self):
        for path, lines in self.TIES.items():
            text = (ROOT / path).read_text(encoding="utf-8")
            for line in lines:
                with self.subTest(path=path, line=line):
                    self.assertIn(line, text)


if __name__ == "__main__":
    unittest.main()
