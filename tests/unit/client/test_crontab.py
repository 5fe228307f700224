"""Crontabs as crontab(5) describes them."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hodei.crontab import MAX_LINES, CronJob, read_crontab

CRONTAB = """\
# the shop's jobs
MAILTO=ops@example.org
PATH = /usr/local/bin:/usr/bin:/bin

  30  2 * * *\t/usr/local/bin/backup --all   # nightly
CRON_TZ=Europe/Madrid
GREETING = "  hello, world "
*/5 9-17 * * mon-fri echo "$GREETING" > /dev/null
@weekly rotate
SHELL=/bin/bash
CRON_TZ=
RANDOM_DELAY=30
0 0 1 * * mail -s 100\\% ops%Dear ops,%%it is 100\\% done.
"""


def jobs_of(text: str, *, system: bool = False) -> list[CronJob]:
    jobs, faults = read_crontab(text, system=system)
    assert faults == []
    return jobs


def test_a_crontab_is_read_line_by_line() -> None:
    backup, echo, rotate, mail = jobs_of(CRONTAB)

    assert (backup.line, backup.cron, backup.command) == (5, "30 2 * * *", "/usr/local/bin/backup --all   # nightly")
    assert (backup.env, backup.zone, backup.delay) == ({"PATH": "/usr/local/bin:/usr/bin:/bin"}, None, 0)
    assert (echo.cron, echo.zone, echo.env["GREETING"]) == ("*/5 9-17 * * mon-fri", "Europe/Madrid", "  hello, world ")
    assert (rotate.line, rotate.cron, rotate.command) == (9, "@weekly", "rotate")
    assert (mail.command, mail.stdin) == ("mail -s 100% ops", "Dear ops,\n\nit is 100% done.")
    assert (mail.shell, mail.zone, mail.delay) == ("/bin/bash", None, 30)
    assert "MAILTO" not in mail.env


def test_a_system_crontab_has_users() -> None:
    (job,) = jobs_of("17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly\n", system=True)
    (daily,) = jobs_of("@daily www-data /bin/true", system=True)

    assert (job.user, job.command) == ("root", "cd / && run-parts /etc/cron.hourly")
    assert (daily.user, daily.command) == ("www-data", "/bin/true")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("61 * * * * true", "61 is not a minute (0 to 59)"),
        ("0 0 30 2 * true", "never comes due"),
        ("@reboot true", "leave this line to the machine's own cron"),
        ("@dialy true", "did you mean @daily?"),
        ("@daily", "nor five fields of time and a command"),
        ("* * * * *", "nor five fields of time and a command"),
        ("* * * * true", "nor five fields of time and a command"),
        ("hello", "neither a variable"),
        ("* * * * * %input", "there is no command before %"),
        ("CRON_TZ=Europe/Madird", "did you mean Europe/Madrid?"),
        ("RANDOM_DELAY=soon", "minutes are needed"),
        ("RANDOM_DELAY=1441", "at most 1440"),
        ('A="b', 'the quotation mark " is not closed'),
        ("A-B=c", "'A-B' is not a variable's name"),
    ],
)
def test_a_wrong_line_is_a_fault_with_its_number(line: str, message: str) -> None:
    jobs, faults = read_crontab(f"# first\n\n{line}\n@daily true\n")

    assert [job.line for job in jobs] == [4]
    assert [fault.line for fault in faults] == [3]
    assert message in faults[0].msg


def test_a_system_crontab_without_a_user_is_a_fault() -> None:
    _, faults = read_crontab("@daily /bin/true", system=True)

    assert "a user is needed before the command" in faults[0].msg


def test_all_faults_are_found_and_lines_are_bounded() -> None:
    jobs, faults = read_crontab("x\n" * 3 + "@daily true\n" * (MAX_LINES + 5))

    assert [fault.line for fault in faults] == [1, 2, 3, jobs[MAX_LINES].line]


def test_lines_with_the_same_command_have_keys_of_their_own_which_their_times_do_not_change() -> None:
    before = jobs_of("0 2 * * * backup\n0 14 * * * backup\n0 2 * * * other\n")
    after = jobs_of("# moved\nA=b\n0 3 * * * backup\n@hourly backup\n")

    assert len({job.key for job in before}) == 3
    assert [job.key for job in after] == [job.key for job in before[:2]]
    assert before[0].name("shop") == f"backup (shop {before[0].key})"
    (long,) = jobs_of("@daily " + "x" * 300)
    assert len(long.name("shop")) < 100


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", "/bin/dash"])
@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("cat%one%two", "one\ntwo\n"),
        ("cat%one%", "one\n"),
        (r"cat%100\% $HOME `x` 'y' \\", "100% $HOME `x` 'y' \\\\\n"),
        ("cat # all of it%END%END_", "END\nEND_\n"),
        ("tr a b | tr b c%abc", "ccc\n"),
        ("cat; exit 3%x", "x\n"),
        ("echo a%", "a\n"),
        (r"echo 100\%", "100%\n"),
        ("cat %x\\", "x\\\n"),
    ],
)
def test_percent_signs_are_input_and_line_ends(shell: str, command: str, output: str) -> None:
    (job,) = jobs_of(f"SHELL={shell}\n* * * * * {command}")
    fields = job.fields()
    argv = fields["command"] if fields["type"] == "exec" else [shell, "-c", fields["command"]]

    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)  # type: ignore[call-overload]  # its type is object

    assert done.stdout == output
    assert done.returncode == (3 if "exit 3" in command else 0)


def test_shells() -> None:
    def of(text: str) -> dict[str, object]:
        return jobs_of(text)[0].fields()

    assert of("@daily true") == {"command": "true", "type": "shell", "env": {}}
    assert of("SHELL=/bin/bash\n@daily true") == {"command": "true", "type": "bash", "env": {"SHELL": "/bin/bash"}}
    assert of("SHELL=/bin/zsh\n@daily true")["command"] == ["/bin/zsh", "-c", "true"]
    assert of("SHELL=/bin/zsh\n@daily true")["type"] == "exec"


def test_crlf_and_a_missing_line_end() -> None:
    (job,) = jobs_of("A=b\r\n@daily true\r")

    assert (job.command, job.env) == ("true", {"A": "b"})


DEBIAN = """\
SHELL=/bin/sh
# You can also override PATH, but by default, newer versions inherit it from the environment
#PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
09,39 *     * * *     root   [ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean
10 3 * * * root test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r
"""


def test_a_crontab_of_a_distribution() -> None:
    jobs = jobs_of(DEBIAN, system=True)

    assert [job.cron for job in jobs] == ["17 * * * *", "25 6 * * *", "47 6 * * 7", "09,39 * * * *", "10 3 * * *"]
    assert {job.user for job in jobs} == {"root"}
    assert jobs[-1].command == "test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r"


PIECES = [
    "* ",
    "0 ",
    "@daily ",
    "A=",
    "%",
    "\\%",
    '"',
    "'",
    "\n",
    "\r",
    "\t",
    "x",
    "\x00",
    "é",
    "root ",
    "CRON_TZ=",
    "#",
    " ",
]


@given(text=st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join), system=st.booleans())
def test_any_text_is_read(text: str, system: bool) -> None:
    jobs, faults = read_crontab(text, system=system)

    lines = text.split("\n")
    assert {one.line for one in [*jobs, *faults]} <= set(range(1, len(lines) + 1))
    assert len({job.key for job in jobs}) == len(jobs)
    for job in jobs:
        assert job.fields()["command"]
        assert len(job.name("source")) <= 200
