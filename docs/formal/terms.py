# SPDX-License-Identifier: Apache-2.0
"""Symbolic bytes and what an attacker can make of them.

A term is what a primitive gave, with perfect cryptography: a hash is opened by nobody, an AEAD by who has the key. Not here:
what the messages of PQVPN contain (protocol.py), who sends what when (explorer.py).
"""


class Term:
    """One symbolic value. Equal terms are one object, so that comparison is identity."""

    __slots__ = ("op", "args", "number")
    _all = {}

    def __new__(cls, op, *args):
        key = (op,) + args
        term = cls._all.get(key)
        if term is None:
            term = object.__new__(cls)
            term.op, term.args, term.number = op, args, len(cls._all)
            cls._all[key] = term
        return term

    def __repr__(self):
        return self.op + (str(self.args) if self.args else "")


def name(*what):
    """A random value that nobody can guess."""
    return Term("name", *what)


def constant(*what):
    """A value that everybody knows or may choose."""
    return Term("constant", *what)


def sequence(*parts):
    """Fields one behind the other. All fields have fixed places and lengths (§6), so a sequence splits in one way only."""
    return Term("sequence", *parts)


def public(scheme, secret):
    """The public key of `secret`; scheme is mlkem, ecdh, ed25519 or mldsa."""
    return Term("public", scheme, secret)


def digest(*parts):
    """SHA-512, HKDF-Extract, HKDF-Expand, HMAC: all one-way and free of collisions."""
    return Term("digest", *(constant(p) if isinstance(p, str) else p for p in parts))


def ciphertext(key, coins):
    return Term("ciphertext", key, coins)


def shared(key, coins):
    """The secret that `ciphertext(key, coins)` carries."""
    return Term("shared", key, coins)


def decapsulate(secret, ct):
    """FIPS 203: a ciphertext for another key gives a wrong secret and no error."""
    if ct.op == "ciphertext" and ct.args[0] is public("mlkem", secret):
        return shared(*ct.args)
    return Term("rejected", secret, ct)


def agreed(secret, point):
    """The ECDH secret, the same from both sides."""
    pair = sorted((secret, point.args[1]), key=lambda term: term.number)
    return Term("agreed", *pair)


def signature(scheme, secret, role, message):
    return Term("signature", scheme, secret, role, message)


def aead(key, data, plaintext):
    """AES-256-GCM under a key that seals one message: `data` is authenticated, `plaintext` hidden."""
    return Term("aead", key, data, plaintext)


class Knowledge:
    """What an attacker can do with the terms he has seen.

    `broken` names schemes whose secret keys follow from their public keys: the worst that can become of a primitive.
    """

    def __init__(self, known, broken):
        self.broken = broken
        self.known = set()
        self._memory = {}
        self._split(known)
        # Opening one AEAD may give the key of another: until nothing is new.
        while True:
            sealed = [t for t in self.known if t.op == "aead" and t.args[2] not in self.known]
            opened = [t.args[2] for t in sealed if self.has(t.args[0])]
            if not opened:
                return
            self._split(opened)
            self._memory.clear()

    def _split(self, terms):
        stack = list(terms)
        while stack:
            term = stack.pop()
            self.known.add(term)
            if term.op == "sequence":
                stack.extend(term.args)

    def has(self, term):
        """Whether the attacker can know `term`: he saw it, or makes it of what he has."""
        if term in self.known:
            return True
        answer = self._memory.get(term)
        if answer is None:
            answer = self._memory[term] = self.makes(term)
        return answer

    def makes(self, term):
        """Whether he can make `term` without having seen it as a whole."""
        op, args = term.op, term.args
        if op == "constant":
            return True
        if op == "name":
            return any(public(s, term) in self.known for s in self.broken)
        if op in ("sequence", "digest", "aead", "ciphertext", "rejected"):
            return all(self.has(t) for t in args)
        if op == "public":
            return self.has(args[1])
        if op == "shared":
            key, coins = args
            return (self.has(coins) and self.has(key)) or (self.has(key.args[1]) and self.has(ciphertext(key, coins)))
        if op == "agreed":
            a, b = args
            return (self.has(a) and self.has(public("ecdh", b))) or (self.has(b) and self.has(public("ecdh", a)))
        if op == "signature":
            return self.has(args[1]) and self.has(args[3])
        raise ValueError(op)
