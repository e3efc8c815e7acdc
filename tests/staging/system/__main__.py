"""`python -m tests.staging.system up|down|deploy`."""

from pathlib import Path

import click

from tests.staging.system.deploy import deploy
from tests.staging.system.model import Address
from tests.staging.system.processes import end_in_order
from tests.staging.system.start import Wishes, down, up

__all__ = ["main"]

_DIR = click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), required=True)


@click.group()
def main() -> None:
    """A small staging system on loopback."""


@main.command("up")
@_DIR
@click.option("--stock", metavar="HOST:PORT", help="Where the shop looks for the stock (a proxy of yours).")
@click.option("--stock-port", type=click.IntRange(1, 65535), help="Where the stock itself listens. [default: free]")
@click.option("--webhook", metavar="URL", help="Starts Prometheus and Alertmanager too; alerts go there.")
@click.option(
    "--part",
    type=(int, int),
    default=(0, 1),
    envvar="STAGING_PART",
    metavar="I N",
    help="Take free ports of the I-th of N parts alone, from 0, where systems are started side by side.",
)
def _up_command(
    folder: Path, stock: str | None, stock_port: int | None, webhook: str | None, part: tuple[int, int]
) -> None:
    """Start everything; the addresses are in DIR/system.json."""
    end_in_order()
    system = up(folder.absolute(), Wishes(Address.parse(stock) if stock else None, stock_port, webhook, part))
    click.echo(f"up: customers come to http://{system.front}/order; all addresses are in {folder / 'system.json'}")


@main.command("down")
@_DIR
def _down_command(folder: Path) -> None:
    """End exactly what was started in the folder."""
    if not (folder / "system.json").exists():
        click.echo(f"nothing is up in {folder}")
        return
    click.echo(f"down: {down(folder.absolute())} processes ended")


main.add_command(deploy)

if __name__ == "__main__":
    main()
