"""Every public name of the Python client: `Client`, its errors, and the models that its methods take and return.

`hodei` loads this module when one of these names is first used, so that `import hodei` alone stays cheap.
"""

from hodei.client import ApiError, BadAddress, Client, ClientError, UnexpectedAnswer, Unreachable, WrongSetting
from schemas.concurrency import ConcurrencySpec
from schemas.events import LogGap
from schemas.matrix import MatrixSpec
from schemas.output import written
from schemas.params import ParamSpec
from schemas.rest.concurrency import ConcurrencyKey, KeyHolder, KeyWait
from schemas.rest.dead_letters import DeadLetter, DeadLetterDetail
from schemas.rest.executions import ExecuteRequest, ExecutionLogs, LogLineView, ManagedExecution
from schemas.rest.health import Health
from schemas.rest.jobs import (
    DecidedTask,
    DecisionRequest,
    Execution,
    Job,
    JobCreate,
    JobDetail,
    JobLogLine,
    JobLogs,
    JobsDeleted,
    JobState,
    Task,
    TimelineEvent,
    WaitingApproval,
)
from schemas.rest.pipelines import Pipeline, PipelineCreate, PipelinePlan, PlannedTask
from schemas.rest.problem import FieldProblem, Problem
from schemas.rest.schedules import (
    Explanation,
    Firing,
    NextTime,
    QueuedTask,
    Schedule,
    ScheduleCreate,
    SchedulePatch,
    WorkerGroup,
    WorkerVerdict,
)
from schemas.rest.workers import ManagedWorker, ManagedWorkerState, RegisteredWorker, WorkerRegister, WorkerStart
from schemas.specs import Capacity, CommandSpec, Resources, RetrySpec, StepSpec
from schemas.states import (
    ExecutionStatus,
    FiringKind,
    FiringOutcome,
    JobStatus,
    Reason,
    ScheduleStatus,
    TaskStatus,
    WorkerProcessStatus,
    WorkerStatus,
)
from schemas.steps import Approval, ApprovalStep, Decision

__all__ = [
    "ApiError",
    "Approval",
    "ApprovalStep",
    "BadAddress",
    "Capacity",
    "Client",
    "ClientError",
    "CommandSpec",
    "ConcurrencyKey",
    "ConcurrencySpec",
    "DeadLetter",
    "DeadLetterDetail",
    "DecidedTask",
    "Decision",
    "DecisionRequest",
    "ExecuteRequest",
    "Execution",
    "ExecutionLogs",
    "ExecutionStatus",
    "Explanation",
    "FieldProblem",
    "Firing",
    "FiringKind",
    "FiringOutcome",
    "Health",
    "Job",
    "JobCreate",
    "JobDetail",
    "JobLogLine",
    "JobLogs",
    "JobState",
    "JobStatus",
    "JobsDeleted",
    "KeyHolder",
    "KeyWait",
    "LogGap",
    "LogLineView",
    "ManagedExecution",
    "ManagedWorker",
    "ManagedWorkerState",
    "MatrixSpec",
    "NextTime",
    "ParamSpec",
    "Pipeline",
    "PipelineCreate",
    "PipelinePlan",
    "PlannedTask",
    "Problem",
    "QueuedTask",
    "Reason",
    "RegisteredWorker",
    "Resources",
    "RetrySpec",
    "Schedule",
    "ScheduleCreate",
    "SchedulePatch",
    "ScheduleStatus",
    "StepSpec",
    "Task",
    "TaskStatus",
    "TimelineEvent",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitingApproval",
    "WorkerGroup",
    "WorkerProcessStatus",
    "WorkerRegister",
    "WorkerStart",
    "WorkerStatus",
    "WorkerVerdict",
    "WrongSetting",
    "written",
]
