"""The stock: how many of an item are left, by HTTP."""

import click
from aiohttp import web

__all__ = ["main"]

LEFT = {"apple": 120, "pear": 75, "plum": 18}


async def _item(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in LEFT:
        raise web.HTTPNotFound(text=f"no item {name}\n")
    return web.json_response({"item": name, "left": LEFT[name]})


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), required=True)
def main(port: int) -> None:
    """Serve the stock on 127.0.0.1."""
    app = web.Application()
    app.add_routes([web.get("/items/{name}", _item), web.get("/healthz", _healthz)])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, shutdown_timeout=1.0)


if __name__ == "__main__":
    main()
