"""Cron lines and time zones: what is valid, and what is said about what is not."""

import re
import time

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.recurrence import CronLine, Zone, check_zone, cron_fields


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("30 2 * * *", "30 2 * * *"),
        ("*/15 9-17 * * mon-fri", "*/15 9-17 * * 1-5"),
        ("\t0  0 1,15 JAN,jul 7 ", "0 0 1,15 1,7 7"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("0 */24 * * *", "0 0 * * *"),
        ("*/90 * * * *", "0 * * * *"),
        ("5-5/2 10-23/20 * * *", "5 10 * * *"),
        ("0 0 */40 * 1", "0 0 */40 * 1"),
        ("0 0 L * 5L", "0 0 L * 5L"),
        ("0 0 lw * fri#02", "0 0 LW * 5#2"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 30 2 MON", "0 0 30 2 1"),
        ("0 0 30 2,3 */2", "0 0 30 2,3 */2"),
        ("0 0 * * 0-7", "0 0 * * 0-7"),
    ],
)
def test_a_line_has_one_spelling(line: str, fields: str) -> None:
    assert " ".join(cron_fields(line)) == fields


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("61 * * * *", "61 is not a minute (0 to 59)"),
        ("* 24 * * *", "24 is not an hour (0 to 23)"),
        ("* * 0 * *", "0 is not a day of the month (1 to 31)"),
        ("* * * January *", "JANUARY is not a month (1 to 12, or JAN to DEC)"),
        ("* * * * 8", "8 is not a day of the week (0 to 7, or SUN to SAT)"),
        ("99999999999999999999 * * * *", "is not a minute"),
        ("٣ * * * *", "is not a minute"),
        (
            "0 0 * * ?",
            "'?' is not a day of the week (0 to 7, or SUN to SAT), a range or a step; write * for every value",
        ),
        ("0~59 * * * *", "for a random delay there is jitter"),
        ("H 2 * * *", "H is not a minute (0 to 59); for a random delay there is jitter"),
        ("H(0-29)/10 * * * *", "for a random delay there is jitter"),
        ("H/15 * * * *", "for a random delay there is jitter"),
        ("TZ=Europe/Madrid 0 5 * * *", "begins with TZ=: give the time zone as `timezone`, beside cron"),
        ("CRON_TZ=UTC 0 5 * * *", "begins with CRON_TZ=: give the time zone"),
        ("1,,2 * * * *", "'' is not a minute"),
        ("*-5 * * * *", "'*-5' is not a minute"),
        ("-5 * * * *", "'-5' is not a minute"),
        ("", "has 0 fields; a cron line has 5: minute, hour,"),
        ("* * * *", "has 4 fields"),
        ("*", "has 1 field;"),
        (
            "0 * * * * *",
            "has 6 fields; a cron line has 5: minute, hour, day of the month, month, day of the week; a field of",
        ),
        ("* * * * * root ls", "has 7 fields"),
        ("0 0 30 2 *", "never comes due: day 30 is in none of its months"),
        ("0 0 31 2,4,6 *", "never comes due: day 31"),
        ("0 0 30 feb */2", "never comes due: day 30"),
        ("5/15 * * * *", "write 5-59/15"),
        ("0 0 * * mon/2", "write 1-6/2"),
        ("*/0 * * * *", "the step of the minute is 0"),
        ("50-10 * * * *", "the range of the minute runs backwards"),
        ("0 0 * * FRI-SUN", "write 5-7, as 7 is Sunday too"),
        ("0 0 * * MON#6", "1 to 5"),
        ("@reboot", "@reboot is not a time"),
        ("@every 5m", "give the seconds as `every`"),
        ("@dayly", "did you mean @daily?"),
        ("@x", "known are @hourly"),
        ("@daily ls", "@daily stands alone"),
    ],
)
def test_a_wrong_line_says_what_would_be_right(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        cron_fields(line)


def test_the_longest_line_is_checked_in_bounded_time() -> None:
    started = time.perf_counter()
    cron_fields(",".join(["*"] * 96) + " * * * *")
    cron_fields("1-59," * 38 + "1 * * * *")
    with pytest.raises(ValueError, match="is not a minute"):
        cron_fields("9" * 192 + " * * * *")

    assert time.perf_counter() - started < 1
    with pytest.raises(ValidationError, match="at most 200"):
        TypeAdapter[str](CronLine).validate_python("*" * 201)


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "US/Pacific", "Etc/GMT+2", "CET"]
)
def test_a_zone_is_one_of_the_database(name: str) -> None:
    assert check_zone(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Europe/Madird", "did you mean Europe/Madrid?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        ("Europe/Berlin\n", "did you mean Europe/Berlin?"),
        ("CEST", "as Europe/Madrid or UTC"),
        ("", "as Europe/Madrid or UTC"),
        ("../../etc/passwd", "as Europe/Madrid or UTC"),
        ("/etc/localtime", "is not a known time zone"),
        ("localtime", "is not a known time zone"),
        ("Europe/../Europe/Berlin", "is not a known time zone"),
        ("Europe", "is not a known time zone"),
        ("Europe/Berlin\0", "is not a known time zone"),
        ("+02:00", "is an offset"),
        ("UTC+2", "is an offset"),
    ],
)
def test_a_wrong_zone_names_the_nearest_one(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_zone(name)


def test_a_field_of_a_request_refuses_both() -> None:
    with pytest.raises(ValidationError, match="61 is not a minute"):
        TypeAdapter[str](CronLine).validate_python("61 * * * *")
    with pytest.raises(ValidationError, match="did you mean Europe/Berlin"):
        TypeAdapter[str](Zone).validate_python("Europe/Berln")
    with pytest.raises(ValidationError, match="at most 100"):
        TypeAdapter[str](Zone).validate_python("x" * 101)
