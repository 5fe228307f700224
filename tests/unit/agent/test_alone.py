"""The agent stands alone: the rule that says so names every other module of the package, new ones included."""

import pkgutil
import tomllib
from pathlib import Path

import worker_manager

ROOT = Path(__file__).parents[3]


def test_the_rule_names_every_other_module() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [rule] = [contract for contract in contracts if contract["name"] == "the agent stands alone"]
    modules = {f"worker_manager.{module.name}" for module in pkgutil.iter_modules(worker_manager.__path__)}
    assert modules - {"worker_manager.agent"} <= set(rule["forbidden_modules"])
