"""The Python client: `async with Client() as hodei: job = await hodei.submit(JobCreate(command="make all"))`.

It is typed with the models of `schemas.rest`, which `hodei` exports, and has one method for each operation of the three
services. The methods are grouped by subject: `jobs`, `pipelines`, `scheduling`, `running`, `dead_letters`. `transport`
sends and retries requests; `sse` reads event streams.
"""

from hodei.client.client import Client
from hodei.client.errors import ApiError, BadAddress, ClientError, UnexpectedAnswer, Unreachable, WrongSetting

__all__ = ["ApiError", "BadAddress", "Client", "ClientError", "UnexpectedAnswer", "Unreachable", "WrongSetting"]
