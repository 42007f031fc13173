"""Asynchronous requests: a job is accepted, looks pending for some polls, then shows its result.

The work itself is done when it is accepted: callers may only rely on what the job tells them, and a
job that they never poll has its effect all the same, as at the vendor.
"""

from __future__ import annotations

from collections.abc import Callable

from tieout.emulators.netsuite.answers import Refused, answer, not_there, self_link
from tieout.emulators.netsuite.books import Books
from tieout.ports.http import Request, Response

PATH = "/services/rest/async/v1/job"
PREFERENCE = {"Preference-Applied": "respond-async"}
MOST_JOBS_KEPT = 10_000


class Jobs:
    """The tenant's jobs, kept in its tables. `polls` is how often a job looks pending."""

    def __init__(self, books: Books, base_url: str, polls: int) -> None:
        self._books = books
        self._base = base_url.rstrip("/")
        self._polls = polls

    def submit(self, request: Request, work: Callable[[Request], Response]) -> Response:
        """Take a request in. A repeated idempotency key is answered with the first job's place."""
        key = request.header("X-NetSuite-Idempotency-Key").strip().lower()
        jobs = self._books.tables["job"]
        if key:
            for job in jobs.values():
                if job["key"] == key:
                    raise Refused(
                        "IDEMPOTENCY_ERROR",
                        "A request with the same idempotency key is already submitted. "
                        'See the "Location" header for a link to the previously submitted job',
                        title="Conflict",
                        headers={**PREFERENCE, "Location": f"{PATH}/{job['id']}"},
                    )
        result = work(request)
        job_id = str(self._books.next_number("job", 0))
        jobs[job_id] = {
            "id": job_id,
            "key": key,
            "polls": self._polls,
            "status": result.status,
            "headers": dict(result.headers),
            "body": result.text(),
        }
        while len(jobs) > MOST_JOBS_KEPT:
            del jobs[next(iter(jobs))]
        return Response(202, {**PREFERENCE, "Location": f"{PATH}/{job_id}"})

    def show(self, request: Request) -> Response:
        """`job/{id}`, `job/{id}/task`, `job/{id}/task/{id}` and `…/result`."""
        parts = request.path().removeprefix(PATH).strip("/").split("/")
        job = self._books.tables["job"].get(parts[0])
        if job is None or parts[1:2] not in ([], ["task"]):
            raise not_there(request.path())
        href = f"{self._base}{PATH}/{job['id']}"
        task = f"{href}/task/{job['id']}"
        completed = job["polls"] <= 0
        state = {"completed": completed, "progress": _progress(job["status"], completed)}
        if len(parts) == 1:
            job["polls"] -= 1
            return answer(
                {
                    "links": self_link(href),
                    "id": job["id"],
                    **state,
                    "task": {"links": self_link(f"{href}/task")},
                }
            )
        if len(parts) == 2:
            item = {"links": self_link(task), "id": job["id"]}
            return answer(
                {"links": self_link(f"{href}/task"), "count": 1, "hasMore": False, "items": [item]}
            )
        if parts[2] != job["id"] or parts[3:] not in ([], ["result"]):
            raise not_there(request.path())
        if len(parts) == 3:
            result = {"links": self_link(f"{task}/result")}
            return answer({"links": self_link(task), "id": job["id"], **state, "result": result})
        if not completed:
            raise not_there(request.path())
        return Response(job["status"], job["headers"], job["body"].encode())


def _progress(status: int, completed: bool) -> str:
    if not completed:
        return "pending"
    return "succeeded" if status < 400 else "failed"
