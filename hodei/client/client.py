"""`Client`: one typed method for each operation of the platform, composed of one class for each subject."""

from hodei.client.approvals import ApprovalCalls
from hodei.client.dead_letters import DeadLetterCalls
from hodei.client.jobs import JobCalls
from hodei.client.pipelines import PipelineCalls
from hodei.client.running import RunningCalls
from hodei.client.scheduling import SchedulingCalls


class Client(PipelineCalls, JobCalls, ApprovalCalls, SchedulingCalls, RunningCalls, DeadLetterCalls):
    """An asynchronous client of the three services.

    Addresses default to HODEI_ORCHESTRATOR_URL, HODEI_SCHEDULER_URL and HODEI_WORKER_MANAGER_URL, and then to 127.0.0.1
    at the ports that `hodei up` uses: ORCHESTRATOR_PORT and so on, or the standard ones. `timeout` is the deadline of
    one response in seconds. Raises BadAddress for an invalid address. If an address comes from the environment, raises
    WrongSetting for an unknown `HODEI_*` variable, because a misspelt one would lead to another platform. Every method
    raises ApiError when the platform refuses, Unreachable when no service answers, and UnexpectedAnswer when another
    server does.

    Methods take a model, such as JobCreate, or a dict of its fields; pydantic's ValidationError, a ValueError, names
    invalid fields. Lists take the filters of their route (`filters.py`); `limit` is the most items that they yield,
    `page_size` the number requested at once.
    """
