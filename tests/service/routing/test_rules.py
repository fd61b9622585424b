"""Which rule takes a slide."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.service.routing.facts import gathered
from wsi_ai.service.routing.rules import Fit, Routing, Rule, is_unrouted, verdict

COLON = gathered({"organ": "Colon", "stain": "H&E", "scanner": "Leica GT450"})
ANY = Rule("any", ("any@1",))
PROSTATE = Rule("prostate", ("p@1",), {"organ": ("prostate",)})
HE = Rule("colon", ("c@1", "c2@1"), {"organ": ("rectum", "colon"), "stain": ("h&e",)})
TRIAL = Rule("trial", ("t@1",), {"organ": ("colon",)}, silent=True)

WORDS = st.sampled_from(["colon", "Colon ", "prostate", "h&e", "pas", ""])
FACTS = st.dictionaries(st.sampled_from(["organ", "stain", "trust"]), WORDS).map(gathered)
CONDITIONS = st.dictionaries(
    st.sampled_from(["organ", "stain", "trust"]),
    st.lists(WORDS.filter(bool), min_size=1).map(tuple),
)
RULES = st.builds(
    Rule,
    st.uuids().map(str),
    st.just(("m@1",)),
    CONDITIONS,
    CONDITIONS,
    silent=st.booleans(),
)


def test_the_first_that_fits_takes_the_slide_with_all_its_models() -> None:
    (choice,) = Routing((PROSTATE, HE, ANY)).choices(COLON)
    assert (choice.rule, choice.models) == ("colon", ("c@1", "c2@1"))


def test_a_model_on_trial_takes_no_slide_from_another_wherever_it_stands() -> None:
    for rules in ((TRIAL, HE), (HE, TRIAL)):
        assert [c.rule for c in Routing(rules).choices(COLON)] == ["colon", "trial"]


def test_a_slide_that_only_a_model_on_trial_takes_has_none() -> None:
    choices = Routing((TRIAL, PROSTATE)).choices(COLON)
    assert [c.rule for c in choices] == ["trial"]
    assert is_unrouted(choices)


@pytest.mark.parametrize(
    ("rule", "fit"),
    [
        (Rule("r", ("m",), {"specimen": ("biopsy",)}), Fit.UNKNOWN),
        (Rule("r", ("m",), {"specimen": ("*",)}), Fit.UNKNOWN),
        (Rule("r", ("m",), unless={"specimen": ("biopsy",)}), Fit.UNKNOWN),
        (Rule("r", ("m",), unless={"stain": ("ihc*",)}), Fit.YES),
        (Rule("r", ("m",), unless={"stain": ("h*",)}), Fit.NO),
        (Rule("r", ("m",), {"scanner": ("leica*",)}), Fit.YES),
        (Rule("r", ("m",), {"scanner": ("leica",)}), Fit.NO),
        (Rule("r", ("m",), {"scanner": ("leica [a-z]*",)}), Fit.NO),
        (Rule("r", ("m",), {"organ": ("prostate",), "specimen": ("biopsy",)}), Fit.NO),
    ],
)
def test_what_is_not_known_fits_nothing_and_keeps_out_too(rule: Rule, fit: Fit) -> None:
    assert verdict(rule, COLON).fit is fit


def test_a_code_and_its_text_mean_the_same() -> None:
    facts = gathered({"organ": ["SCT:71854001", "Colon"]}, {"organ": "colon structure"})
    for word in ("sct:71854001", "colon", "COLON  STRUCTURE"):
        assert verdict(Rule("r", ("m",), {"organ": (word,)}), facts).fit is Fit.YES


@given(st.lists(RULES, max_size=5), FACTS)
def test_every_choice_is_of_a_rule_that_fits_and_no_earlier_one_that_is_shown_does(
    rules: list[Rule], facts: Mapping[str, frozenset[str]]
) -> None:
    choices = Routing(tuple(rules)).choices(facts)
    fitting = [rule for rule in rules if verdict(rule, facts).fit is Fit.YES]
    shown = [choice for choice in choices if not choice.silent]
    assert [c.rule for c in shown] == [rule.name for rule in fitting if not rule.silent][:1]
    assert [c.rule for c in choices if c.silent] == [r.name for r in fitting if r.silent]


@given(RULES, FACTS, st.sampled_from(["organ", "stain", "trust"]))
def test_to_know_less_never_makes_a_rule_fit(
    rule: Rule, facts: Mapping[str, frozenset[str]], name: str
) -> None:
    fewer = {key: said for key, said in facts.items() if key != name}
    if verdict(rule, facts).fit is not Fit.YES:
        assert verdict(rule, fewer).fit is not Fit.YES
