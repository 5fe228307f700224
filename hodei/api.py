"""Every public name of the Python client: `Client`, its errors, and the models that its methods take and return.

`hodei` loads this module when one of these names is first used, so that `import hodei` alone stays cheap.
"""

from hodei.client import ApiError, BadAddress, Client, ClientError, UnexpectedAnswer, Unreachable, WrongSetting
from schemas.access import Actor, Role
from schemas.concurrency import ConcurrencySpec
from schemas.events import LogGap
from schemas.matrix import MatrixSpec
from schemas.output import written
from schemas.params import ParamSpec
from schemas.rest.access import Token, TokenCreate, TokenCreated, WhoAmI
from schemas.rest.audit import AuditEntry, AuditOutcome
from schemas.rest.concurrency import ConcurrencyKey, KeyHolder, KeyWait
from schemas.rest.dead_letters import DeadLetter, DeadLetterDetail
from schemas.rest.enrolment import (
    Credentials,
    CredentialsCreate,
    CredentialsCreated,
    Enrolment,
    JoinToken,
    JoinTokenCreate,
    JoinTokenCreated,
)
from schemas.rest.events import FeedEvent
from schemas.rest.executions import ExecuteRequest, ExecutionLogs, LogLineView, ManagedExecution
from schemas.rest.health import Health
from schemas.rest.job_filters import JobsChanged, JobsDeleted, RefusedJob
from schemas.rest.jobs import (
    DecidedTask,
    DecisionRequest,
    Execution,
    Job,
    JobCreate,
    JobDetail,
    JobLogLine,
    JobLogs,
    JobState,
    Task,
    TimelineEvent,
    WaitingApproval,
)
from schemas.rest.pipelines import Pipeline, PipelineCreate, PipelinePlan, PlannedTask
from schemas.rest.platform import Platform, PlatformService
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
from schemas.rest.statistics import JobCounts, JobThroughput, PipelineRun, PipelineStatistics, ThroughputBucket
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
    "Actor",
    "ApiError",
    "Approval",
    "ApprovalStep",
    "AuditEntry",
    "AuditOutcome",
    "BadAddress",
    "Capacity",
    "Client",
    "ClientError",
    "CommandSpec",
    "ConcurrencyKey",
    "ConcurrencySpec",
    "Credentials",
    "CredentialsCreate",
    "CredentialsCreated",
    "DeadLetter",
    "DeadLetterDetail",
    "DecidedTask",
    "Decision",
    "DecisionRequest",
    "Enrolment",
    "ExecuteRequest",
    "Execution",
    "ExecutionLogs",
    "ExecutionStatus",
    "Explanation",
    "FeedEvent",
    "FieldProblem",
    "Firing",
    "FiringKind",
    "FiringOutcome",
    "Health",
    "Job",
    "JobCounts",
    "JobCreate",
    "JobDetail",
    "JobLogLine",
    "JobLogs",
    "JobState",
    "JobStatus",
    "JobThroughput",
    "JobsChanged",
    "JobsDeleted",
    "JoinToken",
    "JoinTokenCreate",
    "JoinTokenCreated",
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
    "PipelineRun",
    "PipelineStatistics",
    "PlannedTask",
    "Platform",
    "PlatformService",
    "Problem",
    "QueuedTask",
    "Reason",
    "RefusedJob",
    "RegisteredWorker",
    "Resources",
    "RetrySpec",
    "Role",
    "Schedule",
    "ScheduleCreate",
    "SchedulePatch",
    "ScheduleStatus",
    "StepSpec",
    "Task",
    "TaskStatus",
    "ThroughputBucket",
    "TimelineEvent",
    "Token",
    "TokenCreate",
    "TokenCreated",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitingApproval",
    "WhoAmI",
    "WorkerGroup",
    "WorkerProcessStatus",
    "WorkerRegister",
    "WorkerStart",
    "WorkerStatus",
    "WorkerVerdict",
    "WrongSetting",
    "written",
]
