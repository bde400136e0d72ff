# SPDX-License-Identifier: Apache-2.0
"""Every run of a bounded number of handshakes under an attacker who is the network.

He delivers, withholds, repeats, reorders and changes everything; whatever an honest node would accept is tried. Not here:
which nodes, which attacker and what must hold (scenarios.py, claims.py).
"""
from dataclasses import dataclass
from itertools import product

from protocol import (
    AES_ONLY, CHAINED, CONFIGURED, FLAG, NO_HARDWARE, NO_PSK, CIPHER, Head1, Head2, Identity, MadeS1, OpenedS2,
    Payload1, both_signatures, chaining1, choice, compose_s1, compose_s2, expand, identity, master, opening_keys,
    payload2, secrets, signed1, signed2, transcript3)
from terms import Knowledge, ciphertext, constant, decapsulate, digest, name, public
from traces import show, show_head, show_head2

A, B, M = identity("A"), identity("B"), identity("M")
NOTHING = constant("empty")
PSK, NEXT_PSK = name("configured psk"), name("next_psk")
OWN = {
    "kem": name("the attacker's ML-KEM key"), "scalar": name("the attacker's scalar"),
    "coins": name("the attacker's coins"), "token": constant("the attacker's token"),
    "index": constant("the attacker's index and nonce"),
}


def cookie(agent, epoch=1):
    """Whoever can receive at some address gets a cookie: the attacker asks for as many as he likes."""
    return constant("cookie of " + agent.label, epoch)


@dataclass(frozen=True)
class State:
    """What every session has done. The attacker's knowledge follows from it."""

    initiators: tuple
    responders: tuple
    # Sessions that were complete when the long-term keys became known; None before.
    revealed: tuple = None


class Explorer:
    def __init__(self, scenario, claims):
        self.scenario, self.claims = scenario, claims
        self.design = scenario.design
        self.honest = {A.label: A, B.label: B}
        self.states = 0
        # Marks of the sessions with trusted peers that were seen to be made: none would mean that nothing was shown.
        self.reached = set()
        # Identities that the attacker can claim: honest ones, his own, and bundles of his keys with those of others.
        self.claimed = [(A, "brief"), (B, "brief"), (A, "full"), (B, "full"), (M, "full")]
        if scenario.bundles:
            self.claimed += [
                (Identity("M with A's signature keys", M.B, A.e, A.d, M.k), "full"),
                (Identity("M with A's ML-KEM key", M.B, M.e, M.d, A.k), "full"),
                (Identity("M with A's B", A.B, M.e, M.d, M.k), "full"),
            ]
        self._knowledge = {}

    # What the attacker has.

    def knowledge(self, state):
        key = (state.initiators, state.responders, state.revealed is not None)
        known = self._knowledge.get(key)
        if known is None:
            if len(self._knowledge) > 5000:
                self._knowledge.clear()
            known = self._knowledge[key] = Knowledge(self._seen(state), self._broken(state))
        return known

    def _broken(self, state):
        return self.scenario.broken | (self.scenario.broken_later if state.revealed is not None else frozenset())

    def _seen(self, state):
        seen = [A.keys, B.keys, M.keys, *secrets(M), *OWN.values()]
        if self.scenario.psk_known:
            seen += [PSK, NEXT_PSK]
        for one in self.honest.values():
            if one.label in self.scenario.leaked or (state.revealed is not None and self.scenario.reveal):
                seen += secrets(one)
                # A key that is used more than once is not wiped: it leaks with the others.
                seen += [] if self.design.has("new ek_e") else [name("sk_e", one.label)]
                seen += [] if self.design.has("new e") else [name("e_i", one.label), name("e_r", one.label)]
        for one in state.initiators:
            made = one.made if isinstance(one, OpenedS2) else one
            seen += [made.head.term, made.sealed]
            if isinstance(one, OpenedS2):
                seen.append(one.data)
        for one in state.responders:
            if one is not None:
                seen += [one.head.term, one.sealed]
        return seen

    # The search.

    def run(self):
        """None, or (what does not hold, the steps that lead there)."""
        before = {}
        pending = []
        for state, step in self._beginnings():
            if state not in before:
                before[state] = (None, step)
                pending.append(state)
        while pending:
            state = pending.pop()
            self.states += 1
            violation = self.claims.violation(self, state)
            self.reached.update(self.claims.complete(self, state))
            if violation:
                steps = []
                while state is not None:
                    state, step = before[state]
                    steps.extend(reversed(step) if isinstance(step, list) else [step])
                return violation, steps[::-1]
            for following, step in self._steps(state):
                if following not in before:
                    before[following] = (state, step)
                    pending.append(following)
        return None

    def _beginnings(self):
        cookies = sorted({cookie(r.agent, r.epoch) for r in self.scenario.responders}, key=repr)
        for choices in product(cookies, repeat=len(self.scenario.initiators)):
            initiators, step = [], []
            for number, (one, chosen) in enumerate(zip(self.scenario.initiators, choices)):
                psk_id = {"configured": CONFIGURED, "chained": CHAINED}.get(self._psk(one.agent, one.peer), NO_PSK)
                initiators.append(compose_s1(self.design, number, one.agent, one.peer, chosen, one.kind, psk_id))
                step.append(f"{one.agent.label} gets the {show(chosen)} and sends {one.kind} S1 #{number} for {one.peer.label}")
            yield State(tuple(initiators), (None,) * len(self.scenario.responders)), step

    def _psk(self, one, other):
        return self.scenario.psk if other is not M and one is not M else None

    def _steps(self, state):
        if state.revealed is not None and not self.scenario.acts_after:
            return
        knowledge = self.knowledge(state)
        tried = set()
        for place, slot in enumerate(self.scenario.responders):
            # Slots of one agent and cookie are alike: the first free one stands for all.
            if state.responders[place] is not None or slot in tried:
                continue
            tried.add(slot)
            for made, step in self._accepted_s1(state, knowledge, place, slot):
                answered = state.responders[:place] + (made,) + state.responders[place + 1:]
                yield State(state.initiators, answered, state.revealed), step
        for place, made in enumerate(state.initiators):
            # What a dishonest responder does in its own session teaches it nothing more.
            if isinstance(made, OpenedS2) or made.responder is M:
                continue
            for opened, step in self._accepted_s2(state, knowledge, made):
                done = state.initiators[:place] + (opened,) + state.initiators[place + 1:]
                yield State(done, state.responders, state.revealed), step
        if self.scenario.reveals and state.revealed is None:
            yield State(state.initiators, state.responders, self.claims.complete(self, state)), "* " + self.scenario.reveals

    # R: what of all that the attacker can say it would answer.

    def _accepted_s1(self, state, knowledge, place, slot):
        design, R = self.design, slot.agent
        made = [m.made if isinstance(m, OpenedS2) else m for m in state.initiators]
        eks = {m.head.ek_e for m in made} | {public("mlkem", OWN["kem"])}
        points = {m.head.E_i for m in made} | {s.head.E_r for s in state.responders if s}
        points.add(public("ecdh", OWN["scalar"]))
        if self.scenario.confusion:
            eks |= {A.k, B.k}
            points |= {A.B, B.B}
        cts = {t for t in knowledge.known if t.op == "ciphertext" and t.args[0] is R.k} | {ciphertext(R.k, OWN["coins"])}
        indices = {m.head.sender_index_nonce for m in made} | {OWN["index"]}
        ordered = [sorted(s, key=lambda t: t.number) for s in (indices, eks, cts, points)]
        for aeads, *fields in product((NO_HARDWARE, AES_ONLY), *ordered):
            head = Head1(aeads, *fields)
            h3 = transcript3(design, R.peer_id(design), cookie(R, slot.epoch), head)
            ck1 = chaining1(design, decapsulate(R.k.args[1], head.ct_r), h3)
            key1 = expand(ck1, "s1 enc", h3)
            found = []
            for m in made:
                if not design.has("sealed S1") or (m.sealed.args[0] is key1 and m.sealed.args[1] is h3):
                    found.append((m.payload, m.sealed, f"the C1 of S1 #{m.number}"))
            if not design.has("sealed S1") or knowledge.has(key1):
                found += self._forged_payloads(head, h3)
            for payload, sealed, origin in found:
                yield from self._answers(state, knowledge, place, slot, head, h3, ck1, key1, payload, sealed, origin)

    def _forged_payloads(self, head, h3):
        for one, kind in self.claimed:
            # In a session of his own the attacker gains nothing by another offer, or by the index of somebody else.
            if not self.claims.trusts(self.scenario, one) and (head.aeads is AES_ONLY or head.sender_index_nonce is not OWN["index"]):
                continue
            keys = constant("no keys") if kind == "brief" else one.keys
            ids = {None: [NO_PSK], "configured": [CONFIGURED, NO_PSK], "chained": [CHAINED, NO_PSK]}[self._psk(one, A)]
            for psk_id in ids:
                payload = Payload1(one.peer_id(self.design), constant(kind), psk_id, keys)
                yield payload, None, f"a C1 of the attacker's that says {one.label} ({kind})"

    def _believed(self, R, payload):
        """§2, §6: pinned keys by id, else the keys that came along; nobody is oneself."""
        if payload.peer_id is R.peer_id(self.design):
            return None
        if self.scenario.pinned:
            for one in self.honest.values():
                if one.peer_id(self.design) is payload.peer_id:
                    return one
        if payload.kind is constant("brief"):
            return None
        one = Identity("unknown", *payload.keys.args)
        return one if one.peer_id(self.design) is payload.peer_id else None

    def _answers(self, state, knowledge, place, slot, head, h3, ck1, key1, payload, sealed, origin):
        design, R = self.design, slot.agent
        initiator = self._believed(R, payload)
        if initiator is None:
            return
        h4 = signed1(design, h3, head, payload)
        signatures = both_signatures(design, initiator, "S1-initiator", h4)
        present = None if sealed is None else (sealed.args[2] if design.has("sealed S1") else sealed).args[1:]
        for number, scheme in enumerate(("S1 Ed25519", "S1 ML-DSA")):
            if not design.has(scheme):
                continue
            if present is not None and present[number] is not signatures[number]:
                return
            if present is None and not knowledge.has(signatures[number]):
                return
        answered = [(s, r) for s, r in zip(self.scenario.responders, state.responders) if r is not None]
        if design.has("history") and any(s == slot and r.h4 is h4 for s, r in answered):
            return
        label = next((i.label for i in self.honest.values() if i.keys is initiator.keys), None)
        configured = self.scenario.psk == "configured" and label is not None
        if configured != (payload.psk_id is CONFIGURED):
            return
        if sealed is None:
            sealed = digest("a C1 of the attacker's", head.term, payload.term)
        h5 = digest("h5", h3, sealed)
        view1 = (R.keys, cookie(R, slot.epoch), head, payload)
        chances = [(NOTHING, False)]
        if configured:
            chances = [(PSK, False)]
        elif payload.psk_id is CHAINED:
            # A responder that has restarted does not have it any more (§6): it is skipped.
            chances = [(NEXT_PSK, True)] + ([] if self.scenario.kept else chances)
        for psk, chained in chances:
            made = compose_s2(design, place, R, initiator, view1, h4, h5, ck1, psk, chained)
            who = next((i.label for i, _ in self.claimed if i.keys is initiator.keys), "somebody")
            yield made, (
                f"{R.label} gets S1 {{{show_head(head, state, OWN)}}} with {origin}, takes it for {who}'s, sends S2 @{place}"
                + (" with the next_psk" if chained else ""))

    # I: what of all that the attacker can say it would take for the answer.

    def _accepted_s2(self, state, knowledge, made):
        design = self.design
        answers = [r for r in state.responders if r is not None]
        points = {r.head.E_r for r in answers} | {m.head.E_i for m in state.initiators if isinstance(m, MadeS1)}
        points |= {public("ecdh", OWN["scalar"])} | ({A.B, B.B} if self.scenario.confusion else set())
        seen = sorted((t for t in knowledge.known if t.op == "ciphertext"), key=lambda t: t.number)
        to_ephemeral = [t for t in seen if t.args[0] is made.head.ek_e] + [ciphertext(made.head.ek_e, OWN["coins"])]
        to_static = [t for t in seen if t.args[0] is made.initiator.k] + [ciphertext(made.initiator.k, OWN["coins"])]
        indices = [r.head.indices_nonce for r in answers] + [OWN["index"]]
        sealed = {r.sealed.args[:2]: r for r in answers}
        chained = made.payload.psk_id is CHAINED
        configured = self._psk(made.initiator, made.responder) == "configured"
        guesses = knowledge.has(made.ck1)
        for cipher, flag, index, point, ct_e, ct_i in product(
                CIPHER.values(), (False, True) if chained else (False,), dict.fromkeys(indices),
                sorted(points, key=lambda t: t.number), dict.fromkeys(to_ephemeral), dict.fromkeys(to_static)):
            head = Head2(cipher, FLAG[flag], index, point, ct_e, ct_i)
            psk = PSK if configured else NEXT_PSK if flag else NOTHING
            h6, ck2, key2 = opening_keys(design, made, head, psk)
            found = []
            answer = sealed.get((key2, h6))
            if answer is not None:
                payload, *present = answer.sealed.args[2].args
                found.append((payload, present, answer.sealed, f"the C2 of S2 @{answer.number}"))
            if guesses and knowledge.has(key2):
                for offers in (NO_HARDWARE, AES_ONLY):
                    payload = payload2(OWN["token"], offers)
                    forged = digest("a C2 of the attacker's", head.term, payload)
                    found.append((payload, None, forged, "a C2 of the attacker's"))
                for answer in answers:
                    # Where signatures do not bind the transcript, another session's payload2 is worth a try.
                    payload, *present = answer.sealed.args[2].args
                    if knowledge.has(answer.sealed.args[2]):
                        forged = digest("a C2 of the attacker's", head.term, payload)
                        found.append((payload, present, forged, f"payload2 of S2 @{answer.number}, sealed anew"))
            for payload, present, sealed2, origin in found:
                if not self._verified2(knowledge, made.responder, signed2(design, h6, payload), present):
                    continue
                if design.has("offers signed") and choice(NO_HARDWARE, payload.args[2]) is not cipher:
                    continue
                view = (made.view, made.initiator.keys, head, payload)
                yield OpenedS2(made, view, master(ck2, h6, sealed2, cipher)), (
                    f"{made.initiator.label} gets S2 {{{show_head2(head, state, OWN)}}} with {origin} "
                    f"as the answer to S1 #{made.number}: session with {made.responder.label}")

    def _verified2(self, knowledge, responder, h7, present):
        signatures = both_signatures(self.design, responder, "S2-responder", h7)
        for number, scheme in enumerate(("S2 Ed25519", "S2 ML-DSA")):
            if not self.design.has(scheme):
                continue
            if present is not None and present[number] is not signatures[number]:
                return False
            if present is None and not knowledge.has(signatures[number]):
                return False
        return True
