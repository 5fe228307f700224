"""The Python client: `async with Client() as hodei: job = await hodei.submit(JobCreate(command="make all"))`.

Typed with the models of `schemas.rest`, which `hodei` exports; one method for each operation, over three base URLs. The
methods are grouped by subject: `jobs`, `pipelines`, `scheduling`, `running`, `dead_letters`.
How requests are sent and retried is in `transport`, how streams are read in `sse`.
"""

from hodei.client.client import Client
from hodei.client.errors import ApiError, BadAddress, ClientError, UnexpectedAnswer, Unreachable, WrongSetting

__all__ = ["ApiError", "BadAddress", "Client", "ClientError", "UnexpectedAnswer", "Unreachable", "WrongSetting"]
