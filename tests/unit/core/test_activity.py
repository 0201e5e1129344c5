"""What a process computes reaches a listener, at most once in a while for the same work; nothing happens where nobody listens."""

from sweep.core.activity import doing, heard_by, noting


def test_nothing_happens_without_a_listener():
    with noting(seed=1):
        doing("training", 1, 2)


def test_the_same_work_is_reported_once_in_a_while_and_other_work_at_once():
    now, heard = [0.0], []
    with heard_by(heard.append, every_s=1.0, clock=lambda: now[0]):
        for step in range(5):
            doing("training", step, 5)
            now[0] += 0.4
        with noting(seed=3):
            doing("training", 0, 5)
        doing("evaluating")
    doing("after")
    assert [(one["doing"], one["step"], one.get("seed")) for one in heard] == [
        ("training", 0, None), ("training", 3, None), ("training", 0, 3), ("evaluating", 0, None),
    ]  # fmt: skip


def test_an_inner_listener_hides_the_outer_one_and_leaves_it():
    outer, inner = [], []
    with heard_by(outer.append):
        with heard_by(inner.append):
            doing("a")
        doing("b")
    assert [one["doing"] for one in inner] == ["a"] and [one["doing"] for one in outer] == ["b"]
