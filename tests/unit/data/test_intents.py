"""Questions to a shop's support: the same for the same settings, tags that fit their words, a task neither trivial nor hopeless."""

from __future__ import annotations

import re

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from fermion.core.errors import SpecError
from fermion.data.intents import CITIES, INTENTS, PRODUCTS, SupportQuestions
from fermion.data.samples import sample


def test_the_same_settings_give_the_same_questions() -> None:
    first, again, other = (SupportQuestions(rows=300, seed=seed).table() for seed in (0, 0, 1))
    assert first.frame.equals(again.frame)
    assert not first.frame.equals(other.frame)


def test_every_word_has_its_tag_and_slots_hold_what_they_say() -> None:
    frame = SupportQuestions(rows=1000, slips=0.0).table().frame
    values: dict[str, set[str]] = {}
    for text, tokens, tags in frame.select("text", "tokens", "tags").iter_rows():
        assert len(tokens) == len(tags)
        assert "".join(tokens) == text.replace(" ", "")
        assert not any(tag.startswith("I-") and before == "O" for before, tag in zip(["O", *tags], tags, strict=False))
        marked = {"B": "\n{slot}={word}", "I": "{word}", "O": "\n"}
        slots = " ".join(marked[tag[0]].format(slot=tag[2:], word=word) for word, tag in zip(tokens, tags, strict=True))
        for name, value in re.findall(r"\n(\w+)=([^\n]*)", slots):
            values.setdefault(name, set()).add(value.strip().lower())
    assert set(values) == {"order", "product", "city", "amount", "date"}
    assert values["product"] == set(PRODUCTS)
    assert values["city"] == {city.lower() for city in CITIES}


def test_every_intent_is_asked_and_nothing_of_the_grammar_is_left() -> None:
    frame = SupportQuestions(rows=2000).table().frame
    assert set(frame["intent"]) == set(INTENTS)
    assert not any(sign in text for text in frame["text"] for sign in "(){}[]|")


def test_slips_are_as_many_as_asked_for() -> None:
    clean, typed = (SupportQuestions(rows=500, slips=slips).table().frame["text"] for slips in (0.0, 1.0))
    words = {word for text in clean for word in re.findall(r"[A-Za-z]{4,}", text.lower())}
    seen = [word for text in typed for word in re.findall(r"[A-Za-z]{4,}", text.lower())]
    assert sum(word not in words for word in seen) / len(seen) > 0.7


def test_the_intent_can_be_learned_but_not_by_heart() -> None:
    frame = sample("sample://intents?rows=3000").frame
    texts, intents = frame["text"].to_list(), frame["intent"].to_list()
    bags = TfidfVectorizer(ngram_range=(1, 2), min_df=2)
    model = LogisticRegression(C=10, max_iter=300).fit(bags.fit_transform(texts[:2000]), intents[:2000])
    assert 0.85 < model.score(bags.transform(texts[2000:]), intents[2000:]) < 0.97


def test_options_are_checked() -> None:
    with pytest.raises(SpecError, match="slips"):
        sample("sample://intents?slips=2")
