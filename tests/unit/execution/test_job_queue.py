"""The job queue without its processes: who gets which job, and what happens when a worker dies."""

import asyncio

import pytest

from sweep.execution.job import DONE, Work
from sweep.execution.ray.job_queue import JobQueue
from sweep.store.trial import Attacks, Rungs, Trial

Board = JobQueue.__ray_metadata__.modified_class


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for question in ("is_leaving", "is_lost"):
        monkeypatch.setattr(f"sweep.execution.ray.job_queue.{question}", lambda node: node == "dead")


def work(name, worker_group=None):
    return Work(Trial({"name": name}, "data", (0,)), Attacks(), worker_group=worker_group)


def play(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), timeout=10))


def test_jobs_are_served_in_order_and_reports_come_back():
    async def scenario():
        job_queue, jobs = Board(2, 2), [work("a"), work("b")]
        for job in jobs:
            await job_queue.submit(job)
        taken = [await job_queue.take("s0"), await job_queue.take("s1")]
        signature = jobs[0].trial.signature
        assert await job_queue.report("s0", signature, {"kind": "epoch", "epoch": 1})
        return taken == jobs, (await job_queue.next_report(signature))["epoch"]

    assert play(scenario) == (True, 1)


def test_a_dead_worker_gets_its_job_again_until_it_died_too_often():
    async def scenario():
        job_queue, job = Board(1, 2), work("poison")
        await job_queue.submit(job)
        assert await job_queue.take("s0") == job
        assert await job_queue.take("s0") == job  # asked again without having reported: the process died
        waiting = asyncio.ensure_future(job_queue.take("s0"))
        report = await job_queue.next_report(job.trial.signature)
        await job_queue.close()
        return report, await waiting

    report, after = play(scenario)
    assert report["kind"] == DONE and "died 2 times" in report["reason"] and after is None


def test_cancelled_job_is_dropped_at_its_next_report():
    async def scenario():
        job_queue, job = Board(2, 2), work("a")
        await job_queue.submit(job)
        await job_queue.take("s0")
        await job_queue.cancel(job.trial.signature)
        return await job_queue.report("s0", job.trial.signature, {"kind": "epoch"})

    assert play(scenario) is False


def test_bound_job_waits_for_its_worker_group():
    async def scenario():
        job_queue, job, free = Board(2, 2), work("a", worker_group="only-a"), work("b")
        await job_queue.submit(job)
        await job_queue.submit(free)
        return await job_queue.take("s0") == free, await job_queue.take("only-a") == job

    assert play(scenario) == (True, True)


@pytest.mark.parametrize("submitted_first", [True, False])
def test_jobs_fail_with_a_reason_when_every_worker_group_broke(submitted_first):
    async def scenario():
        job_queue, job, started = Board(2, 2), work("a"), []
        await job_queue.open(started.append, 2, eager=True)
        if submitted_first:
            await job_queue.submit(job)
        for worker_group in started:
            await job_queue.worker_group_broke(worker_group, "no GPU")
        if not submitted_first:
            await job_queue.submit(job)
        return await job_queue.next_report(job.trial.signature)

    assert "no GPU" in play(scenario)["reason"]


def test_a_worker_group_of_one_job_that_breaks_takes_only_that_job_with_it():
    async def scenario():
        job_queue, bound, started = Board(2, 2), work("a", worker_group="only-a"), []
        await job_queue.open(started.append, 2)
        await job_queue.submit(bound)
        await job_queue.submit(work("b", worker_group="only-b"))
        await job_queue.worker_group_broke("only-a", "no GPU")
        return started, await job_queue.next_report(bound.trial.signature), await job_queue.take("only-b") is not None

    started, report, served = play(scenario)
    assert started == ["only-a", "only-b"] and "no GPU" in report["reason"] and served


def test_worker_groups_come_with_the_jobs_and_go_home_when_there_is_none():
    async def scenario():
        job_queue, started = Board(2, 2), []
        await job_queue.open(started.append, 2, idle_s=0.05, eager=True)
        before = list(started)
        for name in "abc":
            await job_queue.submit(work(name))
        most = list(started)
        for worker_group in most:
            while job := await job_queue.take(worker_group):
                await job_queue.report(worker_group, job.trial.signature, {"kind": DONE})
        await job_queue.submit(work("d"))
        return before, most, started[len(most) :]

    assert play(scenario) == ([], ["group-0", "group-1"], ["group-2"])


def test_a_worker_group_on_a_leaving_machine_is_replaced_up_to_the_limit():
    async def scenario():
        job_queue, started = Board(2, 2), []
        await job_queue.open(started.append, 2, idle_s=5)
        await job_queue.submit(work("a"))
        await job_queue.take("group-0", "node-a")
        await job_queue.leaving("group-0")
        return list(started)

    assert play(scenario) == ["group-0", "group-1"]


def test_a_leaving_machine_costs_no_failure_and_gets_no_job_again():
    async def scenario():
        job_queue, job = Board(0, 1), work("a")
        await job_queue.submit(job)
        assert await job_queue.take("s0", "node-a") == job
        await job_queue.leaving("s0")
        assert not await job_queue.report("s0", job.trial.signature, {"kind": "epoch"})  # it was given back
        waiting = asyncio.ensure_future(job_queue.take("s0", "node-a"))
        await asyncio.sleep(0)
        assert not waiting.done() and await job_queue.take("s1", "node-b") == job
        await job_queue.leaving("s1")
        return await job_queue.next_report(job.trial.signature)

    report = play(scenario)
    assert report["failure"] == "FAILED" and "taken away 2 times" in report["reason"]


def test_a_job_given_again_goes_before_those_that_wait():
    async def scenario():
        job_queue, jobs = Board(2, 2), [work("a"), work("b")]
        for job in jobs:
            await job_queue.submit(job)
        await job_queue.take("s0", "node-a")
        await job_queue.leaving("s0")
        return await job_queue.take("s1", "node-b") == jobs[0]

    assert play(scenario)


def test_more_memory_than_allowed_is_named_and_not_tried_for_ever():
    async def scenario():
        job_queue, job = Board(1, 2), work("big")
        await job_queue.submit(job)
        for _ in range(2):
            await job_queue.take("s0")
            await job_queue.ending("s0", {"failure": "OOM", "reason": "its worker held 3 GB"})
        waiting = asyncio.ensure_future(job_queue.take("s0"))
        report = await job_queue.next_report(job.trial.signature)
        await job_queue.close()
        return report, await waiting

    report, _ = play(scenario)
    assert report["failure"] == "OOM" and report["reason"] == "its worker held 3 GB, 2 times"


def test_the_same_trial_again_has_a_mailbox_of_its_own():
    """A race gives a configuration more seeds; what a worker group still says of the job before must not end the new one."""

    async def scenario():
        job_queue, job = Board(2, 2), work("a")
        signature = job.trial.signature
        await job_queue.submit(job)
        await job_queue.take("s0")
        await job_queue.report("s0", signature, {"kind": DONE})
        assert (await job_queue.next_report(signature))["kind"] == DONE
        await job_queue.submit(job)
        assert await job_queue.take("s1") == job
        assert not await job_queue.report("s0", signature, {"kind": DONE})
        assert await job_queue.report("s1", signature, {"kind": "epoch"})
        return (await job_queue.next_report(signature))["kind"]

    assert play(scenario) == "epoch"


def test_submitting_again_drops_the_job_that_still_runs():
    async def scenario():
        job_queue, job = Board(2, 2), work("a")
        signature = job.trial.signature
        await job_queue.submit(job)
        await job_queue.take("s0")
        await job_queue.cancel(signature)
        await job_queue.submit(job)
        dropped = not await job_queue.report("s0", signature, {"kind": "epoch"})
        return (
            dropped and await job_queue.take("s0") == job and await job_queue.report("s0", signature, {"kind": "epoch"})
        )

    assert play(scenario)


def test_a_machine_that_is_gone_without_a_word_costs_no_failure():
    async def scenario():
        job_queue, job = Board(0, 1), work("a")
        await job_queue.submit(job)
        await job_queue.take("s0", "dead-soon")
        job_queue._worker_groups["s0"].node = "dead"
        assert await job_queue.take("s0", "node-b") == job
        return job_queue._worker_groups["s0"].job.losses.counts

    assert play(scenario) == {"preemption": 1}


def test_a_worker_group_whose_task_raises_tells_its_reason():
    async def scenario():
        job_queue, job = Board(2, 2), work("a")

        async def unplaceable():
            raise RuntimeError("no node has 8 GPUs")

        await job_queue.open(lambda name: unplaceable(), 1)
        await job_queue.submit(job)
        return await job_queue.next_report(job.trial.signature)

    assert play(scenario)["reason"] == "no worker group is left: no node has 8 GPUs"


def test_a_report_at_a_rung_is_answered_once_the_scheduler_has_decided():
    """Otherwise a short trial would be at its end before it is stopped, on one machine and not on the other."""

    async def scenario(stopped):
        job_queue, signature = Board(2, 2), work("a").trial.signature
        await job_queue.submit(Work(work("a").trial, Attacks(), Rungs((2,), ("m",))))
        await job_queue.take("s0")
        assert await job_queue.report("s0", signature, {"kind": "epoch", "seed": 0, "epoch": 1})
        waiting = asyncio.ensure_future(job_queue.report("s0", signature, {"kind": "epoch", "seed": 0, "epoch": 2}))
        for _ in range(2):
            await job_queue.next_report(signature)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        if stopped:
            await job_queue.cancel(signature)
        else:
            asking = asyncio.ensure_future(job_queue.next_report(signature))
        answer = await waiting
        if not stopped:
            asking.cancel()
        return answer

    assert play(lambda: scenario(stopped=False)) is True
    assert play(lambda: scenario(stopped=True)) is False
