"""An entry of the audit log is the same, whether it is inserted as a row or stored beside events as JSON."""

import json
from collections.abc import Sequence

import pytest

from schemas.access import Role
from schemas.rest.audit import AuditOutcome
from shared.access import Call, Principal
from shared.audit.rows import entry_of, row_of
from shared.ids import new_id

ANA = Principal(new_id(), 'ana "of" ops', Role.ADMIN)
IDS = [new_id() for _ in range(3)]


@pytest.mark.parametrize("principal", [ANA, None])
@pytest.mark.parametrize(
    ("address", "method", "request_id"),
    [
        ("127.0.0.1", "POST", "0123456789abcdef0123456789abcdef"),
        ("::ffff:10.0.0.1", "DELETE", '"quoted" \\ and more'),
        ("unix:", "A-METHOD-THAT-IS-MUCH-TOO-LONG", "of-the-client"),
    ],
)
@pytest.mark.parametrize("entities", [[], IDS[:1], IDS, ["OBJECT.7"], [*IDS, "OBJECT.7"]])
def test_a_row_and_its_json_say_the_same(
    principal: Principal | None, address: str, method: str, request_id: str, entities: Sequence[str]
) -> None:
    call = Call(principal, address, request_id, method, "/api/v1/jobs", "/api/v1/jobs")

    row = row_of(call, AuditOutcome.CHANGED, entities)._asdict()
    entry = json.loads(entry_of(call, AuditOutcome.CHANGED, entities))

    assert row.pop("id") != entry.pop("id")
    assert {name: value for name, value in entry.items() if value is not None} == {
        name: value for name, value in row.items() if value is not None
    }
