"""`Client`: one typed method for each operation of the platform, composed of one class for each subject."""

from hodei.client.access import AccessCalls
from hodei.client.approvals import ApprovalCalls
from hodei.client.audit import AuditCalls
from hodei.client.dead_letters import DeadLetterCalls
from hodei.client.enrolment import EnrolmentCalls
from hodei.client.events import EventCalls
from hodei.client.jobs import JobCalls
from hodei.client.pipelines import PipelineCalls
from hodei.client.platform import PlatformCalls
from hodei.client.running import RunningCalls
from hodei.client.scheduling import SchedulingCalls


class Client(
    PipelineCalls,
    JobCalls,
    ApprovalCalls,
    SchedulingCalls,
    RunningCalls,
    EnrolmentCalls,
    DeadLetterCalls,
    AccessCalls,
    AuditCalls,
    PlatformCalls,
    EventCalls,
):
    """An asynchronous client of the three services.

    Addresses default to HODEI_ORCHESTRATOR_URL, HODEI_SCHEDULER_URL and HODEI_WORKER_MANAGER_URL, and then to 127.0.0.1
    at the ports that `hodei up` uses: ORCHESTRATOR_PORT and so on, or the standard ones. Without an address in the
    arguments or the environment, they are those of a profile: `profile`, HODEI_PROFILE, or the one of the last
    `hodei login`. `token` defaults to HODEI_TOKEN, and `ca`, a PEM file with the CA of https:// addresses, to HODEI_CA;
    then both are those of the profile; an empty text means none. `timeout` is the deadline of one response in seconds.

    Raises BadAddress for an invalid address, and WrongSetting for other settings. If an address comes from the
    environment, an unknown `HODEI_*` variable is a WrongSetting too, because a misspelt one would lead to another
    platform. Every method raises ApiError when the platform refuses, Unreachable when no service answers, and
    UnexpectedAnswer when another server does.

    Methods take a model, such as JobCreate, or a dict of its fields; pydantic's ValidationError, a ValueError, names
    invalid fields. Lists take the filters of their route (`filters.py`); `limit` is the most items that they yield,
    `page_size` the number requested at once.
    """
