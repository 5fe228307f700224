"""What `hodei up` checks before anything starts: the settings, with the keys that the services will have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hodei.embedded.errors import WrongSetting
from hodei.up_keys import UpKeys
from hodei.up_preparation import check_settings
from hodei.up_settings import UpSettings


def environment(**variables: str) -> dict[str, str]:
    bare = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HODEI_") and name not in ("NATS_URL", "DATABASE_URL")
    }
    return bare | variables


async def check(folder: Path, **variables: str) -> None:
    settings = UpSettings.read(variables, data_dir=folder)
    await check_settings(environment(**variables), UpKeys(settings))


async def test_access_is_turned_on_with_a_nats_of_its_own(tmp_path: Path) -> None:
    await check(tmp_path, HODEI_AUTH="on")


async def test_access_is_not_turned_on_with_a_nats_that_asks_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match="HODEI_AUTH is on, so HODEI_NATS_CREDENTIALS should be set"):
        await check(tmp_path, HODEI_AUTH="on", NATS_URL="nats://127.0.0.1:4222")
    await check(tmp_path, HODEI_AUTH="on", NATS_URL="nats://hodei:secret@127.0.0.1:4222")
