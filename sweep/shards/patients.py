"""Whether a patient id of one data set means a person of another."""

from __future__ import annotations

from sweep.shards.schema import Manifest


def one_numbering(first: Manifest, second: Manifest) -> bool:
    """Whether equal patient ids of two data sets are taken for one person.

    Two different publications number their patients each for itself ("case 12" of Poland is not "case 12" of Brazil). Parts of
    one publication share their numbering, and what somebody imported from tables or folders of their own is taken to: an image
    too many left out costs little, a patient on both sides is a leak.
    """
    return not (first.citation and second.citation and first.citation != second.citation)
