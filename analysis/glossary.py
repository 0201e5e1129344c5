"""The page's terms for readers who are no engineers: one sentence each, linked and shown on hover where a term first appears."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

GLOSSARY: dict[str, str] = {
    "front": "The configurations that no other one beats in every number at once; front 1 is the best of them.",
    "worst case": "An image counts as right only if none of the attacks changes its diagnosis.",
    "oracle": "An order that looks at the other hospital's labels. It shows what could have been reached, not what can be chosen in advance.",
    "epsilon": "How far an attack may move every grey level of an image, in steps of 255: 2/255 cannot be seen by eye.",
    "constant predictor": "A model that always names the larger class. A recipe that is no better has learned nothing useful.",
    "AUROC": "The chance that a random diseased image gets a higher score than a random healthy one: 0.5 is guessing, 1 is perfect.",
    "95 % interval": "Were the study repeated on other patients and seeds, the true value would lie in such a range 95 times out of 100.",
    "seed": "One training of the same recipe with other random numbers. Differences between seeds are chance.",
    "source": "The hospital or scanner whose images the models are trained on.",
    "target": "The other hospital or scanner, whose images no model is trained on.",
    "domain gap": "AUROC on the source's test images minus AUROC on the target: what is lost on the way to the other hospital.",
    "backbone": "The network that was trained before on other images and is fine-tuned here.",
    "Holm": "A correction for making many comparisons at once, so that chance alone is not taken for a finding.",
}


def anchor(term: str) -> str:
    """The id of a term's entry: 'worst case' as glossary-worst-case."""
    return "glossary-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def explained(text: str) -> Markup:
    """The text with the first appearance of every term linked to its entry, which is shown on hover and on focus."""
    words = sorted(GLOSSARY, key=len, reverse=True)
    seen: set[str] = set()

    def link(found: re.Match[str]) -> str:
        term = next(word for word in words if word.lower() == found[0].lower())
        if term in seen:
            return str(escape(found[0]))
        seen.add(term)
        return f'<a class="term" href="#{anchor(term)}" data-tip="{escape(GLOSSARY[term])}">{escape(found[0])}</a>'

    pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
    parts, last = [], 0
    for found in pattern.finditer(text):
        parts += [str(escape(text[last : found.start()])), link(found)]
        last = found.end()
    return Markup("".join([*parts, str(escape(text[last:]))]))
