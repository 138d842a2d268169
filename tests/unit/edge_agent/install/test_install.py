"""Unit files for systemd and launchd."""

import plistlib
from configparser import ConfigParser
from pathlib import Path

import pytest

from edge_agent.install.__main__ import Unit, main, render

UNIT = Unit(Path("/opt/footfall/bin/python"), Path("/etc/footfall/agent.env"), Path("/var/lib/footfall-agent"), "eye")


def test_systemd_restarts_after_a_crash_and_not_after_a_dismissal() -> None:
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(render("systemd", UNIT))
    service = unit["Service"]
    assert service["ExecStart"] == "/opt/footfall/bin/python -m edge_agent"
    assert service["EnvironmentFile"] == "/etc/footfall/agent.env"
    assert service["Restart"] == "on-failure"
    assert "78" in service["RestartPreventExitStatus"].split()


def test_launchd_reads_the_environment_file_and_keeps_the_agent_alive() -> None:
    plist = plistlib.loads(render("launchd", UNIT).encode())
    assert plist["ProgramArguments"][-2:] == ["/etc/footfall/agent.env", "/opt/footfall/bin/python"]
    assert plist["KeepAlive"] == {"SuccessfulExit": False}
    assert plist["UserName"] == "eye"


@pytest.mark.parametrize("bad", ["relative/python", "/opt/a\nExecStartPre=/bin/rm", "/opt/%h/python", "/opt/<python>"])
def test_a_path_that_could_say_something_else_in_a_unit_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="python"):
        Unit(Path(bad), Path("/a"), Path("/b"), "eye")


def test_the_command_prints_the_unit_of_the_system_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--system", "systemd", "--user", "eye"]) == 0
    assert "User=eye" in capsys.readouterr().out
    assert main(["--system", "systemd", "--state", "here"]) == 2
