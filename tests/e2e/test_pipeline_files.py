"""Pipelines kept as files: checked, applied, exported and run from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hodei.client import Client
from schemas.rest.pipelines import PipelineCreate
from tests.e2e.framework.data import unique
from tests.e2e.framework.platform import Platform
from tests.e2e.test_command_line import hodei

TEXT = """\
name: {name}
steps:
  build:
    command: echo building $HODEI_PARAM_TARGET
  test: {{command: "exit 3", needs: build}}
"""


async def lint(platform: Platform, *arguments: str) -> tuple[int, list[str], str]:
    code, out, err = await hodei(platform, "pipelines", "lint", *arguments)
    return code, out.splitlines(), err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(TEXT.format(name=unique("good")))
    (tmp_path / "notes.txt").write_text("not a pipeline")
    return tmp_path


async def test_lint_reports_every_error_of_every_file_with_its_place(platform: Platform, folder: Path) -> None:
    assert await lint(platform, str(folder)) == (0, ["no errors in 1 file"], "")
    good = (folder / "good.yaml").read_text()
    (folder / "bad.yaml").write_text(
        "name: x\nsteps:\n  a: {comand: x, timeout: 0}\n  b: {command: y, needs: [a, c]}\n"
    )
    (folder / "latin.yml").write_bytes("name: x\ndescription: ä\n".encode("latin-1"))
    (folder / "same.json").write_text(json.dumps({"name": good.split()[1], "steps": []}))
    (folder / "tab.yaml").write_text("name: x\nsteps:\n\t- a\n")
    (folder / "big.yaml").write_text("#" * 300_000)
    code, lines, err = await lint(platform, str(folder))
    assert (code, err) == (1, "hodei: 8 errors\n")
    assert [line.removeprefix(f"{folder}/") for line in lines] == [
        "bad.yaml:3:3: steps.0.command: is required",
        "bad.yaml:3:7: steps.0.comand: unknown field comand; did you mean command?",
        "bad.yaml:3:27: steps.0.timeout: should be greater than 0",
        "bad.yaml:4:30: steps.1.depends_on.1: step 'b' depends on 'c', and no step has that name",
        "big.yaml:1:1: has 300,000 bytes; a pipeline's text takes at most 262,144",
        "latin.yml:2:14: the byte 0xe4 is not UTF-8: save the file as UTF-8",
        "tab.yaml:3:1: steps: lines are indented with spaces, not with tabs",
        f"same.json:1:1: name: {good.split()[1]!r} is also the name in {folder}/good.yaml",
    ]
    code, lines, err = await lint(platform, "--json", str(folder / "tab.yaml"))
    assert (code, err) == (1, "")
    assert json.loads(lines[0]) == {
        "file": f"{folder}/tab.yaml", "line": 3, "column": 1, "field": "steps",
        "msg": "lines are indented with spaces, not with tabs", "type": "yaml_syntax",
    }  # fmt: skip
    code, lines, err = await lint(platform, str(folder / "none.yaml"))
    assert (code, lines) == (2, [])
    assert "none.yaml: there is no such file or folder" in err
    (folder / "empty").mkdir()
    assert "has no file that ends with .yaml" in (await lint(platform, str(folder / "empty")))[2]


async def test_apply_creates_shows_what_changes_and_leaves_the_unchanged_alone(
    platform: Platform, client: Client, tmp_path: Path
) -> None:
    name, file = unique("applied"), tmp_path / "it.yaml"
    file.write_text(TEXT.format(name=name))

    async def apply(*options: str) -> list[str]:
        code, out, err = await hodei(platform, "pipelines", "apply", *options, str(file))
        assert (code, err) == (0, "")
        return out.splitlines()

    assert (await apply("--dry-run"))[-1] == f"{name}: would be created"
    assert [one async for one in client.pipelines(name=name)] == []
    created = await apply()
    [made] = [one async for one in client.pipelines(name=name)]
    assert created[:4] == ["--- /dev/null", f"+++ {file}", "@@ -0,0 +1,7 @@", f"+name: {name}"]
    assert created[-1] == f"{name}: created, version 1, {made.id}"
    assert await apply() == [f"{name}: unchanged, version 1, {made.id}"]
    file.write_text(json.dumps({"name": name, "steps": [step.model_dump(by_alias=True) for step in made.steps]}))
    assert await apply() == [f"{name}: unchanged, version 1, {made.id}"]
    file.write_text(TEXT.format(name=name).replace("exit 3", "exit 4"))
    changed = await apply()
    assert changed[0] == f"--- {name} (version 1)"
    assert [line for line in changed if line[0] in "+-"][2:] == ["-    command: exit 3", "+    command: exit 4"]
    assert changed[-1] == f"{name}: updated, version 2, {made.id}"
    [line] = await apply("--json")
    assert json.loads(line) | {"file": ""} == {
        "file": "", "name": name, "id": made.id, "version": 2, "action": "unchanged", "dry_run": False, "diff": "",
    }  # fmt: skip
    _, out, _ = await hodei(platform, "pipelines", "versions", name, "--json")
    assert [json.loads(one)["version"] for one in out.splitlines()] == [2, 1]


async def test_apply_writes_nothing_when_one_file_has_an_error(
    platform: Platform, client: Client, folder: Path
) -> None:
    name = (folder / "good.yaml").read_text().split()[1]
    (folder / "z.yaml").write_text("nam: x")
    code, out, _ = await hodei(platform, "pipelines", "apply", str(folder))
    assert (code, "z.yaml:1:1: nam: unknown field nam; did you mean name?" in out) == (1, True)
    (folder / "z.yaml").write_text(TEXT.format(name=unique("z")))
    twice = [await client.create_pipeline(PipelineCreate(name=name)) for _ in range(2)]
    code, out, _ = await hodei(platform, "pipelines", "apply", str(folder))
    assert (code, all(one.id in out for one in twice)) == (1, True)
    assert f"several pipelines have the name {name!r}" in out
    assert [one.version async for one in client.pipelines(name=name)] == [1, 1]
    code, _, err = await hodei(platform, "pipelines", "export", name)
    assert (code, all(one.id in err for one in twice)) == (1, True)


async def test_what_is_exported_can_be_applied_again_without_a_change(
    platform: Platform, client: Client, tmp_path: Path
) -> None:
    fields: dict[str, object] = {
        "name": unique("exported"),
        "env": {"A": "no", "B": "1.10", "C": "two\nlines\n"},
        "steps": [{"name": "1", "command": ["a b", "#c"], "type": "exec", "retry": {"max_attempts": 2, "delay": 0.5}}],
    }
    made = await client.create_pipeline(fields)
    for which in (made.name, made.id, made.id[-8:]):
        code, out, err = await hodei(platform, "pipelines", "export", which)
        assert (code, err) == (0, "")
    (tmp_path / "out.yaml").write_text(out)
    _, again, _ = await hodei(platform, "pipelines", "apply", str(tmp_path))
    assert again == f"{made.name}: unchanged, version 1, {made.id}\n"
    _, out, _ = await hodei(platform, "pipelines", "export", made.name, "--json")
    assert PipelineCreate.model_validate_json(out) == PipelineCreate.model_validate(fields)


async def test_run_follows_all_steps_and_exits_with_the_code_of_the_one_that_failed(
    platform: Platform, client: Client, folder: Path
) -> None:
    name = (folder / "good.yaml").read_text().split()[1]
    await hodei(platform, "pipelines", "apply", str(folder))
    code, out, err = await hodei(platform, "pipelines", "run", name, "-p", "target=x86", "-q", "--label", f"of={name}")
    assert (code, out) == (3, "build | building x86\n")
    assert "test: exit_code 3" in err
    code, out, _ = await hodei(platform, "pipelines", "run", name, "--json", "-q")
    job = json.loads(out)
    assert (code, job["status"], [task["name"] for task in job["tasks"]]) == (3, "failed", ["build", "test"])
    assert [one.name async for one in client.jobs(label=[f"of={name}"])] == [name]
    bad, file = folder / "bad.yaml", str(folder / "good.yaml")
    code, out, _ = await hodei(
        platform, "pipelines", "run", "-f", file, "-p", "target=arm", "-q", "--name", f"{name}-2"
    )
    assert (code, out) == (3, "build | building arm\n")
    assert [(one.name, one.pipeline_id) async for one in client.jobs(name=f"{name}-2")] == [(f"{name}-2", None)]
    bad.write_text("name: x\nstep: []\n")
    code, out, _ = await hodei(platform, "pipelines", "run", "-f", str(bad))
    assert (code, out) == (125, f"{bad}:2:1: step: unknown field step; did you mean steps?\n")
    assert (await hodei(platform, "pipelines", "run"))[0] == 2
    assert (await hodei(platform, "pipelines", "run", name, "-f", file))[0] == 2
    code, _, err = await hodei(platform, "pipelines", "run", name, "-p", "target")
    assert (code, "KEY=VALUE is needed" in err) == (2, True)
    code, _, err = await hodei(platform, "pipelines", "run", unique("none"))
    assert (code, "there is no pipeline with the name" in err) == (125, True)


async def test_the_axes_of_a_matrix_stay_in_a_pipeline_that_is_run_applied_and_exported(
    platform: Platform, tmp_path: Path
) -> None:
    name, file = unique("matrix"), tmp_path / "matrix.yaml"
    matrix = "{os: [debian, alpine], include: [{os: debian, extra: 1}], max_parallel: 1}"
    file.write_text(f"name: {name}\nsteps:\n  t: {{command: echo $HODEI_MATRIX_OS, matrix: {matrix}}}\n")
    code, out, _ = await hodei(platform, "pipelines", "run", "-f", str(file), "-q")
    assert (code, sorted(out.splitlines())) == (0, ["t (alpine) | alpine", "t (debian, 1) | debian"])
    assert (await hodei(platform, "pipelines", "apply", str(file)))[0] == 0
    code, out, _ = await hodei(platform, "pipelines", "run", name, "-q")
    assert (code, len(out.splitlines())) == (0, 2)
    file.write_text((await hodei(platform, "pipelines", "export", name))[1])
    code, out, _ = await hodei(platform, "pipelines", "apply", str(file), "--dry-run")
    assert (code, "unchanged" in out) == (0, True)
    command = "command: 'if [ $HODEI_MATRIX_N = 2 ]; then exit 4; fi; exec sleep 30'"
    file.write_text(f"name: {name}\nsteps:\n  t: {{{command}, matrix: {{n: [1, 2]}}}}\n")
    code, _, err = await hodei(platform, "pipelines", "run", "-f", str(file), "-q")
    assert (code, "t (2): exit_code 4" in err) == (4, True)  # not that of t (1), which was cancelled


async def test_the_group_lists_and_shows(platform: Platform, client: Client) -> None:
    name = unique("shown")
    fields: dict[str, object] = {
        "name": name,
        "description": "for show",
        "steps": [
            {"name": "a", "command": "x" * 300},
            {"name": "b", "command": ["true"], "depends_on": ["a"], "when": "always"},
        ],
    }
    made = await client.create_pipeline(fields)
    for command in (("pipelines", "--name", name), ("pipelines", "list", "--name", name)):
        _, out, _ = await hodei(platform, *command)
        assert made.id in out.splitlines()[1]
    code, _, err = await hodei(platform, "pipelines", "--name", name, "show", name)
    assert (code, "options of show stand after it" in err) == (2, True)
    _, out, _ = await hodei(platform, "pipelines", "show", name)
    assert [line.split() for line in out.splitlines() if line][1:5] == [
        ["name", name], ["status", "active"], ["version", "1"], ["about", "for", "show"],
    ]  # fmt: skip
    assert [line.split()[:3] for line in out.splitlines()[-1:]] == [["b", "always", "a"]]
    await client.update_pipeline(made.id, {"name": name})
    _, out, _ = await hodei(platform, "pipelines", "show", name, "--version", "1", "--json")
    assert len(json.loads(out)["steps"]) == 2
    code, out, _ = await hodei(platform, "pipelines", "schema")
    assert (code, json.loads(out)["title"]) == (0, "Hodei pipeline")
