# SPDX-License-Identifier: Apache-2.0
"""S1, S2 and the key schedule of docs/protocol.md §6, field by field, as terms.

A `Design` says which of the protocol's precautions are there: `REAL` has all of them; the negative controls leave some out.
Sizes, reserved bytes and paddings are not here: they are constants, and decoders refuse any others.
"""
from dataclasses import dataclass
from functools import lru_cache

from terms import aead, agreed, ciphertext, constant, decapsulate, digest, name, public, sequence, shared, signature

H0 = constant("h0")
# versions, mtu, keepalive, caps of payload1; mtu, keepalive, caps, lifetime of payload2: chosen by their sender.
PARAMETERS1, PARAMETERS2 = constant("parameters of S1"), constant("parameters of S2")
# Offers of ciphers (§1): bit 0 AES-256-GCM, bit 1 no AES hardware here. Choices of S2: 1 AES, 2 ChaCha20.
AES_ONLY, NO_HARDWARE = constant("aeads", 1), constant("aeads", 3)
CIPHER = {1: constant("aead", 1), 2: constant("aead", 2)}
FLAG = {False: constant("flags", 0), True: constant("flags", 1)}
# psk_id: nothing, a configured key, the next_psk of the session before.
NO_PSK, CONFIGURED, CHAINED = constant("psk_id", 0), constant("psk_id", "bit 31"), constant("psk_id", "next")


@dataclass(frozen=True)
class Design:
    """The precautions of §6 that a handshake takes. `without` names what a negative control leaves out."""

    without: frozenset = frozenset()

    def has(self, precaution):
        assert precaution in PRECAUTIONS, precaution
        return precaution not in self.without


PRECAUTIONS = {
    "S1 Ed25519": "R verifies the initiator's Ed25519 signature",
    "S1 ML-DSA": "R verifies the initiator's ML-DSA-87 signature",
    "S2 Ed25519": "I verifies the responder's Ed25519 signature",
    "S2 ML-DSA": "I verifies the responder's ML-DSA-87 signature",
    "roles": "signatures name the role of the signer",
    "S1 head signed": "the initiator signs h3: the responder's id, cookie, all clear fields of S1",
    "S2 head signed": "the responder signs h6: all of S1, all clear fields of S2",
    "responder signed": "what the initiator signs depends on the responder (peer_id_R in h2, ct_r in S1)",
    "peer_id_R": "peer_id_R is in h2",
    "aeads": "the offers of S1 are in h3",
    "cookie": "the cookie is in h2",
    "ss_r": "Encaps(k_R) is in ck1",
    "ss_e": "Encaps(ek_e) is in ck2",
    "ECDH": "ECDH(e_i, e_r) is in ck2",
    "ss_i": "Encaps(k_I) is in ck2",
    "psk": "preshared keys are in ck2",
    "new ek_e": "every S1 has an ML-KEM key of its own, wiped afterwards",
    "new e": "every S1 and S2 has a brainpool key of its own, wiped afterwards",
    "sealed S1": "payload1 is sealed",
    "id of four keys": "peer_id is the hash of all four keys, not of B alone",
    "history": "R answers no h4 twice",
    "offers signed": "I compares payload2's offers with its own choice",
}
REAL = Design()


@dataclass(frozen=True)
class Identity:
    """Four public keys: B brainpool, e Ed25519, d ML-DSA-87, k ML-KEM-1024."""

    label: str
    B: object
    e: object
    d: object
    k: object

    @property
    def keys(self):
        return sequence(self.B, self.e, self.d, self.k)

    def peer_id(self, design):
        return digest("peer-id", *((self.B, self.e, self.d, self.k) if design.has("id of four keys") else (self.B,)))


def identity(label):
    return Identity(label, *(public(s, name(s + " key", label)) for s in ("ecdh", "ed25519", "mldsa", "mlkem")))


def secrets(identity):
    return [key.args[1] for key in (identity.B, identity.e, identity.d, identity.k)]


@dataclass(frozen=True)
class Head1:
    """Clear fields of S1 that can differ: version, suite and flags have one legal value."""

    aeads: object
    sender_index_nonce: object
    ek_e: object
    ct_r: object
    E_i: object

    @property
    def term(self):
        return sequence(self.aeads, self.sender_index_nonce, self.ek_e, self.ct_r, self.E_i)


@dataclass(frozen=True)
class Payload1:
    peer_id: object
    kind: object
    psk_id: object
    keys: object

    @property
    def term(self):
        return sequence(self.peer_id, self.kind, PARAMETERS1, self.psk_id, self.keys)


@dataclass(frozen=True)
class Head2:
    aead: object
    flags: object
    indices_nonce: object
    E_r: object
    ct_e: object
    ct_i: object

    @property
    def term(self):
        return sequence(self.aead, self.flags, self.indices_nonce, self.E_r, self.ct_e, self.ct_i)


def transcript3(design, peer_id_R, cookie, head):
    """h3 = H(H(h0 ‖ peer_id_R ‖ cookie) ‖ S1[0..<3289])."""
    parts = [H0]
    if design.has("peer_id_R") and design.has("responder signed"):
        parts.append(peer_id_R)
    if design.has("cookie"):
        parts.append(cookie)
    covered = head.term if design.has("aeads") else sequence(*head.term.args[1:])
    return digest("h3", digest("h2", *parts), covered)


def chaining1(design, ss_r, h3):
    return digest("ck1", H0, *([ss_r] if design.has("ss_r") else []), h3)


def signed1(design, h3, head, payload):
    """h4, the hash that the initiator signs."""
    if not design.has("S1 head signed"):
        return digest("h4", payload.term)
    if not design.has("responder signed"):
        return digest("h4", head.ek_e, head.E_i, payload.term)
    return digest("h4", h3, payload.term)


def chaining2(design, ck1, ss_e, dh, ss_i, psk, h6):
    mixed = []
    for precaution, secret in (("ss_e", ss_e), ("ECDH", dh), ("ss_i", ss_i), ("psk", psk)):
        if design.has(precaution):
            mixed.append(secret)
    return digest("ck2", ck1, *mixed, h6)


def signed2(design, h6, payload):
    """h7, the hash that the responder signs."""
    return digest("h7", h6, payload) if design.has("S2 head signed") else digest("h7", payload)


def both_signatures(design, keys, role, message):
    role = constant(role if design.has("roles") else "any")
    return (
        signature("ed25519", keys.e.args[1], role, message),
        signature("mldsa", keys.d.args[1], role, message),
    )


def expand(key, label, *transcript):
    return digest("expand", key, constant(label), *transcript)


def choice(initiator, responder):
    """CipherChoice.choose: ChaCha20 exactly if both lack AES hardware."""
    return CIPHER[2 if initiator is NO_HARDWARE and responder is NO_HARDWARE else 1]


@dataclass(frozen=True, eq=False)
class MadeS1:
    """S1Composition.perform: what the initiator sent and keeps."""

    number: int
    initiator: Identity
    responder: Identity
    cookie: object
    head: Head1
    payload: Payload1
    sealed: object
    ephemeral: tuple
    ck1: object
    h5: object
    key1: object

    @property
    def view(self):
        return (self.responder.keys, self.cookie, self.head, self.payload)


@lru_cache(maxsize=None)
def compose_s1(design, number, initiator, responder, cookie, kind, psk_id):
    kem = name("sk_e", number if design.has("new ek_e") else initiator.label)
    scalar = name("e_i", number if design.has("new e") else initiator.label)
    coins = name("coins of ct_r", number)
    head = Head1(
        NO_HARDWARE, sequence(constant("sender_index", number), constant("nonce of S1", number)), public("mlkem", kem),
        ciphertext(responder.k, coins), public("ecdh", scalar))
    h3 = transcript3(design, responder.peer_id(design), cookie, head)
    ck1 = chaining1(design, shared(responder.k, coins), h3)
    payload = Payload1(
        initiator.peer_id(design), constant(kind), psk_id, constant("no keys") if kind == "brief" else initiator.keys)
    signatures = both_signatures(design, initiator, "S1-initiator", signed1(design, h3, head, payload))
    plaintext = sequence(payload.term, *signatures)
    key1 = expand(ck1, "s1 enc", h3)
    sealed = aead(key1, h3, plaintext) if design.has("sealed S1") else plaintext
    return MadeS1(
        number, initiator, responder, cookie, head, payload, sealed, (kem, scalar), ck1, digest("h5", h3, sealed), key1)


@dataclass(frozen=True, eq=False)
class MadeS2:
    """S2Composition.perform: the answer, and the session that the responder holds."""

    number: int
    responder: Identity
    initiator: Identity
    view1: tuple
    head: Head2
    sealed: object
    view: tuple
    keys: object
    h4: object


def master(ck2, h6, sealed, cipher):
    """The session's packet key from initiator to responder; all keys of M stand and fall together."""
    return expand(ck2, "master", digest("h8", h6, sealed), cipher)


def payload2(token, offers):
    return sequence(token, PARAMETERS2, offers)


@lru_cache(maxsize=None)
def compose_s2(design, number, responder, initiator, view1, h4, h5, ck1, psk, chained):
    head1 = view1[2]
    scalar = name("e_r", number if design.has("new e") else responder.label)
    coins_e, coins_i = name("coins of ct_e", number), name("coins of ct_i", number)
    cipher = choice(head1.aeads, NO_HARDWARE)
    head = Head2(
        cipher, FLAG[chained],
        sequence(constant("sender_index_R", number), head1.sender_index_nonce, constant("nonce of S2", number)),
        public("ecdh", scalar), ciphertext(head1.ek_e, coins_e), ciphertext(initiator.k, coins_i))
    h6 = digest("h6", h5, head.term)
    ck2 = chaining2(
        design, ck1, shared(head1.ek_e, coins_e), agreed(scalar, head1.E_i), shared(initiator.k, coins_i), psk, h6)
    payload = payload2(name("token", number), NO_HARDWARE)
    signatures = both_signatures(design, responder, "S2-responder", signed2(design, h6, payload))
    sealed = aead(expand(ck2, "s2 enc", h6), h6, sequence(payload, *signatures))
    return MadeS2(
        number, responder, initiator, view1, head, sealed, (view1, initiator.keys, head, payload),
        master(ck2, h6, sealed, cipher), h4)


@dataclass(frozen=True, eq=False)
class OpenedS2:
    """S2Opening.perform: the session that the initiator holds, and its first packet, the keepalive."""

    made: MadeS1
    view: tuple
    keys: object

    @property
    def data(self):
        return aead(self.keys, constant("header of DATA"), constant("keepalive"))


def opening_keys(design, made, head, psk):
    """h6, ck2 and the key of C2 as the initiator computes them for a given head."""
    kem, scalar = made.ephemeral
    h6 = digest("h6", made.h5, head.term)
    ck2 = chaining2(
        design, made.ck1, decapsulate(kem, head.ct_e), agreed(scalar, head.E_r),
        decapsulate(made.initiator.k.args[1], head.ct_i), psk, h6)
    return h6, ck2, expand(ck2, "s2 enc", h6)
