"""The texts of refusals: each fault once, and in terms of the client rather than of HTTP."""

from __future__ import annotations

from hodei.client import ApiError
from schemas.rest.problem import FieldProblem, Problem


def problem(status: int, title: str, detail: str, *errors: FieldProblem) -> Problem:
    return Problem(title=title, status=status, detail=detail, instance="/", errors=list(errors) or None)


def fault(*loc: str | int, msg: str, line: int | None = None) -> FieldProblem:
    return FieldProblem(loc=list(loc), msg=msg, type="t", line=line, column=line)


def test_a_fault_is_said_once() -> None:
    refused = problem(422, "Invalid", "body.from: has no step 'x'", fault("body", "from", msg="has no step 'x'"))
    assert str(ApiError(refused)) == "422 Invalid: from: has no step 'x'"


def test_several_faults_have_a_line_each() -> None:
    faults = [fault("body", "a", 0, msg="wrong", line=3), fault("query", "b", msg="late")]
    refused = problem(422, "Invalid", "body.a.0: wrong; query.b: late", *faults)
    assert str(ApiError(refused)).splitlines() == ["422 Invalid:", "  a.0: wrong (line 3, column 3)", "  b: late"]


def test_without_a_token_the_text_says_how_to_give_one() -> None:
    refused = problem(401, "Unauthorized", "there is no token; send Authorization: Bearer with a token of …")
    hint = "no token was sent: set HODEI_TOKEN, or log in with hodei login URL"
    assert str(ApiError(refused, hint=hint)) == f"401 Unauthorized: {hint}"


def test_with_a_token_the_text_says_what_is_wrong_with_it_and_where_it_is_from() -> None:
    refused = problem(401, "Unauthorized", "the token is revoked; send Authorization: Bearer with a token of …")
    text = str(ApiError(refused, hint="the token came from HODEI_TOKEN"))
    assert text == "401 Unauthorized: the token is revoked; the token came from HODEI_TOKEN"
