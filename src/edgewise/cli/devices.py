"""`edgewise devices`: what a device is and what it can run, before hours of work."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click
from rich.table import Table

from edgewise import units
from edgewise.cli.common import console, emit, json_option
from edgewise.devices.capability import Capability, capabilities, refusals
from edgewise.devices.url import connect
from edgewise.dispatch import probe
from edgewise.errors import DeviceError


@click.group(
    epilog="""
\b
Examples:
  edgewise devices check local
"""
)
def command() -> None:
    """Look at devices before work is sent to them."""


@command.command(
    epilog="""
\b
Examples:
  edgewise devices check local
"""
)
@click.argument("url", metavar="URL")
@json_option
def check(url: str, as_json: bool) -> None:
    """Ask the device at URL what it is; fails when nothing can be run there."""
    with connect(url) as device:
        facts = probe(device)
    found = capabilities(facts)
    refused = refusals(found)
    if not as_json:
        console.print(_table(url, facts, found))
    if refused:
        raise DeviceError(f"nothing can be run on {url}: {' '.join(refused)}")
    if as_json:
        able = [asdict(one) for one in found]
        emit("devices check", {"device": url, **facts, "capabilities": able})


def _table(url: str, facts: Mapping[str, Any], found: tuple[Capability, ...]) -> Table:
    machine, state = facts["machine"], facts["state"]
    shown = Table(title=f"device {url}", show_header=False)
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    memory = machine["memory_bytes"]
    hertz, degrees = state["frequency_hz"], state["temperature_c"]
    rows = {
        "host": machine["hostname"],
        "board": machine["board"] or "not named",
        "processor": f"{machine['cpu']}, {machine['cores']} cores, {machine['architecture']}",
        "memory": "unknown" if memory is None else units.size(memory),
        "system": f"{machine['system']}, kernel {machine['kernel']}",
        "python": f"{machine['python']}, numpy {machine['numpy']}",
        "clock": f"{'unknown' if hertz is None else f'{hertz / 1e9:.2f} GHz'}, "
        f"governor {machine['governor']}",
        "temperature": "unknown" if degrees is None else f"{degrees:.0f} °C",
        "throttled now": {None: "unknown", True: "yes", False: "no"}[state["throttled"]],
    }
    for name, text in rows.items():
        shown.add_row(name, text)
    shown.add_section()
    for one in found:
        shown.add_row(one.name, f"{'yes' if one.able else 'no'}: {one.reason}")
    return shown
