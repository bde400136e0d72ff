# SPDX-License-Identifier: Apache-2.0
"""The steps of an attack in words: where each field of a message came from. Not here: the search (explorer.py)."""
from protocol import AES_ONLY, OpenedS2
from terms import ciphertext, public


def show(term):
    return " ".join(str(a) for a in term.args)


def _origin(value, his, table):
    return "own" if value is his else table.get(value, "a static key")


def show_head(head, state, own):
    made = [m.made if isinstance(m, OpenedS2) else m for m in state.initiators]
    table = {}
    for m in made:
        for value in (m.head.ek_e, m.head.ct_r, m.head.E_i, m.head.sender_index_nonce):
            table[value] = f"#{m.number}"
    for r in state.responders:
        if r is not None:
            table.setdefault(r.head.E_r, f"@{r.number}")
            table.setdefault(r.head.ct_e, f"@{r.number}")
            table.setdefault(r.head.ct_i, f"@{r.number}")
    parts = (
        ("index", head.sender_index_nonce, own["index"]), ("ek_e", head.ek_e, public("mlkem", own["kem"])),
        ("ct_r", head.ct_r, ciphertext(head.ct_r.args[0], own["coins"])), ("E_i", head.E_i, public("ecdh", own["scalar"])))
    text = ", ".join(f"{label} {_origin(value, his, table)}" for label, value, his in parts)
    return text + (", aeads lowered" if head.aeads is AES_ONLY else "")


def show_head2(head, state, own):
    table = {}
    for m in state.initiators:
        table[(m.made if isinstance(m, OpenedS2) else m).head.E_i] = "of an S1"
    for r in state.responders:
        if r is not None:
            for value in (r.head.E_r, r.head.ct_e, r.head.ct_i):
                table[value] = f"@{r.number}"
    parts = (
        ("E_r", head.E_r, public("ecdh", own["scalar"])),
        ("ct_e", head.ct_e, ciphertext(head.ct_e.args[0], own["coins"])),
        ("ct_i", head.ct_i, ciphertext(head.ct_i.args[0], own["coins"])))
    return ", ".join(f"{label} {_origin(value, his, table)}" for label, value, his in parts)
