"""Questions to a shop's support as people type them: what is wanted (the intent), and the words that say of what (the slots).

Everything is drawn by this file; no customer is behind it. A question is a sentence of its intent with its alternatives chosen and its
slots filled, in front of it now and then a greeting or what led to it, behind it now and then thanks; then it is typed: without
capitals, without its end, with slips. Some sentences stand under two intents ("where is my jacket" is asked of orders that are late
and of those that are not), and some questions were filed under the wrong one of two that are often confused: nobody can answer all
of them rightly.

The two tasks are those of spoken language understanding since ATIS (Hemphill, Godfrey, Doddington 1990): the intent as one class per
question, slots as one tag per word, B- where a slot begins, I- within it, O elsewhere (Ramshaw, Marcus 1995).
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from fermion.data.table import Table

# (a|b) is one of them, [a|b] one of them or nothing, {slot} a slot.
INTENTS: dict[str, tuple[str, ...]] = {
    "order_status": (
        "where is my (order|package|parcel) {order}",
        "[can you tell me] when will {order} (arrive|be here|be delivered)",
        "(has|did) my {product} (shipped|been sent|leave the warehouse) [yet]",
        "what is the status of [order] {order}",
        "I (ordered|bought) (a|the) {product} on {date} , is it on its way",
        "I would like to (track|follow) (my order|my parcel|order {order})",
        "I have not got my {product} yet",
    ),
    "late_delivery": (
        "my {product} was (supposed|promised) to (come|arrive) on {date} and (it did not|nothing came)",
        "order {order} is (late|overdue) [again]",
        "I am still waiting for (my|the) {product} [I ordered on {date}]",
        "the (parcel|delivery) for {city} (has not come|never arrived) [since {date}]",
        "why is (order {order}|my {product}) not here yet",
        "where is my (order|package|parcel) {order}",
        "I have not got my {product} yet",
    ),
    "cancel_order": (
        "[please] cancel [my] order {order}",
        "I (want|need|would like) to cancel (the|my) {product} [I ordered on {date}]",
        "I (do not|no longer) (want|need) (the|my) {product} , (please cancel it|stop the order)",
        "can I [still] (stop|call off) order {order} before it (ships|is sent)",
        "I ordered (the|a) {product} by mistake , (do not send it|cancel it please)",
    ),
    "change_address": (
        "(change|update) the [delivery] address (of|for) [order] {order} to {city}",
        "I (moved|am moving) to {city} , where do I (change|enter) my address",
        "(can|could) you (send|deliver) [order] {order} to {city} instead [of {city}]",
        "my address (is wrong|has changed) , it (is|should be) {city} [for order {order}]",
    ),
    "return_item": (
        "(how|where) (do|can) I (return|send back) (my|the|a) {product}",
        "I (want|would like) to (return|give back) (the|my) {product} [from order {order}]",
        "the {product} does not (fit|suit me) , can I (return|send back) it",
        "can I give (it|the {product}) back after {date}",
        "I need a return label for (order {order}|the {product})",
        "I want my money back for the {product}",
    ),
    "refund_status": (
        "(when|where) (do I get|is) my (refund|money) [for order {order}]",
        "I (returned|sent back) (the|my) {product} on {date} and have (not got|seen no) (refund|money) [yet]",
        "I have not got my (refund|money back) [of {amount}] [for {order}]",
        "I want my money back for the {product}",
        "(has|was) the refund (of|for) {amount} (been sent|made)",
    ),
    "damaged_item": (
        "(the|my) {product} (arrived|came) (broken|damaged|scratched) [on {date}]",
        "order {order} has a (broken|damaged) {product} in it",
        "the {product} (stopped working|does not turn on) [after {date}]",
        "the box was (open|crushed) and the {product} is (broken|scratched) , what (now|can I do)",
    ),
    "wrong_item": (
        "I (ordered|bought) (a|the) {product} and (got|received) (a|the) {product}",
        "(there is|you sent) the wrong (item|{product}) in order {order}",
        "this is not (what|the {product}) I ordered",
        "the {product} (came|arrived) in the wrong (size|colour)",
    ),
    "payment_failed": (
        "my (card|payment) (was declined|did not go through|failed) [for order {order}]",
        "I (can not|cannot) pay (for the {product}|{amount}) [with my card]",
        "the (checkout|payment page) (shows an error|does not load)",
        "I tried to pay {amount} (twice|again) and it (failed|was refused)",
    ),
    "charged_twice": (
        "I (was|have been) charged {amount} twice [for order {order}]",
        "there are two payments of {amount} on my (card|account) [since {date}]",
        "why did you take {amount} (again|twice) [on {date}]",
        "my card was charged for order {order} but (I cancelled it|the payment failed)",
    ),
    "invoice": (
        "[please] (send|email) me (the|an) invoice (for|of) [order] {order}",
        "I need (a receipt|an invoice) for (the|my) {product} [from {date}]",
        "where (can I find|is) the (receipt|invoice|bill) [of {amount}]",
        "the invoice of order {order} has the wrong address , it should be {city}",
    ),
    "account_access": (
        "I (forgot|lost) my password [again]",
        "I (can not|cannot) (log in|sign in) [since {date}]",
        "(how|where) do I (reset|change) my password",
        "my account (is locked|does not open) [and I want to see order {order}]",
        "I (get|got) no (code|email) when I (log in|reset my password)",
    ),
}
CONFUSED = {
    "order_status": "late_delivery", "late_delivery": "order_status", "return_item": "refund_status", "refund_status": "return_item",
    "damaged_item": "wrong_item", "wrong_item": "damaged_item", "payment_failed": "charged_twice", "charged_twice": "payment_failed",
}  # fmt: skip
PRODUCTS = (
    "blue jacket", "running shoes", "coffee machine", "desk lamp", "phone case", "headphones", "office chair", "rain boots", "bread knife",
    "wool scarf", "travel bag", "bike helmet", "alarm clock", "water bottle", "keyboard", "picture frame", "garden table", "toaster",
)  # fmt: skip
CITIES = ("Springfield", "Riverton", "Lakeside", "Hill Valley", "Northport", "Fairview", "Oak Ridge", "Milton", "Ashford", "Green Bay")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
BEFORE = ("hello", "hi", "hi there", "good morning", "excuse me", "hey", "I need help", "I have a question", "sorry to bother you again")
LED = ("I called already", "I looked everywhere", "this is the second time", "I have been a customer for years", "I wrote last {date}")
AFTER = ("thanks", "thank you", "please help", "please answer soon", "many thanks", "it is urgent", "best regards")
_CHOICE = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")
_NEAR = {"a": "s", "e": "r", "i": "o", "n": "m", "o": "p", "r": "t", "s": "d", "t": "y", "c": "v", "l": "k", "u": "i", "d": "f"}

Word = tuple[str, str]  # a word and its tag


class SupportQuestions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Questions with the target `intent` (12 of them), and `tokens` with one of the `tags` each.

    `slips` is the share of the longer words that are typed wrong, `misfiled` that of the questions under the wrong one of two intents that
    are often confused. Questions repeat as those of people do: short ones are often the same.

    >>> table = SupportQuestions(rows=200).table()
    >>> table.names, len(table)
    (('text', 'intent', 'tokens', 'tags'), 200)
    """

    rows: Annotated[int, Meta(ge=50, le=5_000_000)] = 4_000
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    slips: Annotated[float, Meta(ge=0, le=1)] = 0.06
    misfiled: Annotated[float, Meta(ge=0, le=1)] = 0.04

    def table(self) -> Table:
        """Generate it: the same settings give the same table."""
        rng = np.random.default_rng([self.seed, 0x1473])
        intents = list(INTENTS)
        weights = np.linspace(1.6, 0.6, len(intents))  # some are asked more often
        columns: dict[str, list[Any]] = {"text": [], "intent": [], "tokens": [], "tags": []}
        for code in rng.choice(len(intents), self.rows, p=weights / weights.sum()).tolist():
            intent = intents[code]
            words = self._question(intent, rng)
            intent = CONFUSED.get(intent, intent) if rng.random() < self.misfiled else intent
            columns["text"].append(_written([word for word, _ in words]))
            columns["intent"].append(intent)
            columns["tokens"].append([word for word, _ in words])
            columns["tags"].append([tag for _, tag in words])
        return Table.of(columns)

    def _question(self, intent: str, rng: np.random.Generator) -> list[Word]:
        """The words of one question, as they are typed."""
        sentence = _one(INTENTS[intent], rng)
        words = _filled(_chosen(sentence, rng), rng)
        if rng.random() < 0.12:
            words = [*_filled(_one(LED, rng), rng), (",", "O"), *words]
        if rng.random() < 0.35:
            words = [*_filled(_one(BEFORE, rng), rng), (",", "O"), *words]
        end = "?" if words[-1][0] != "?" and rng.random() < 0.4 else "."
        words = [*words, (end, "O")] if rng.random() < 0.6 else words
        if rng.random() < 0.25:
            words = [*words, *_filled(_one(AFTER, rng), rng)]
        small = rng.random() < 0.5
        return [(_slipped(word.lower() if small else word, self.slips, rng), tag) for word, tag in words]


def _chosen(sentence: str, rng: np.random.Generator) -> str:
    """Alternatives settled, the innermost first."""
    while (found := _CHOICE.search(sentence)) is not None:
        needed = found[1] is not None
        options = (found[1] if needed else found[2]).split("|")
        taken = _one(options, rng) if needed or rng.random() < 0.5 else ""
        sentence = f"{sentence[: found.start()]}{taken}{sentence[found.end() :]}"
    return sentence


def _filled(sentence: str, rng: np.random.Generator) -> list[Word]:
    """Words with their tags; each slot gets a value of its own."""
    words: list[Word] = []
    for piece in sentence.split():
        if not piece.startswith("{"):
            words.append((piece, "O"))
            continue
        slot = piece[1:-1]
        value = _value(slot, rng).split()
        words += [(word, f"{'B' if at == 0 else 'I'}-{slot}") for at, word in enumerate(value)]
    return words


def _value(slot: str, rng: np.random.Generator) -> str:
    match slot:
        case "order":
            number = int(rng.integers(10_000, 999_999))
            return _one((f"#{number}", f"{number}", f"A-{number}", f"no {number}"), rng)
        case "product":
            return _one(PRODUCTS, rng)
        case "city":
            return _one(CITIES, rng)
        case "amount":
            whole, cents = int(rng.integers(5, 400)), int(rng.integers(0, 100))
            return _one((f"${whole}", f"{whole}.{cents:02d} dollars", f"{whole} dollars", f"{whole}.{cents:02d}"), rng)
        case _:
            day, month = int(rng.integers(1, 29)), _one(MONTHS, rng)
            return _one((f"{month} {day}", f"the {day} of {month}", _one(DAYS, rng), f"last {_one(DAYS, rng)}", "yesterday"), rng)


def _slipped(word: str, share: float, rng: np.random.Generator) -> str:
    """A word of more than three letters with two letters swapped, one left out, doubled, or the one beside it on the keyboard."""
    if len(word) < 4 or not word.isalpha() or rng.random() >= share:
        return word
    at = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(0, 4))
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + ("", word[at] * 2, _NEAR.get(word[at], word[at]))[kind - 1] + word[at + 1 :]


def _written(words: list[str]) -> str:
    """Words as a line of text: no space before a comma or an end."""
    return re.sub(r" ([,.?])", r"\1", " ".join(words))


def _one(options: tuple[str, ...] | list[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
