"""A server of the page on this machine alone."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server

from learn.explore.page import Page
from learn.explore.settings import ExploreSettings
from learn.explore.view import Explorer
from lensphys.ground.errors import InputError

#: The loopback: nobody else reaches it.
HOST = "127.0.0.1"


def make_server(explorer: Explorer, port: int) -> Server:
    """A server of the page, which has not been started.

    Nothing is loaded from elsewhere: scripts and styles come from the installed bokeh. Pages of
    other origins are refused.

    Args:
        explorer: lens and image.
        port: 0: any that is free.

    Raises:
        InputError: if the port is taken.
    """

    def fill(document: Document) -> None:
        Page(explorer, document)

    application = Application(FunctionHandler(fill))
    try:
        return Server({"/": application}, address=HOST, port=port)
    except OSError as error:
        raise InputError(
            f"port {port} cannot be opened: {error.strerror or error}; leave out --port for any "
            "that is free"
        ) from None


def run_server(explorer: Explorer, settings: ExploreSettings, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        explorer: lens and image.
        settings: port, and whether a browser is opened.
        say: called with the address.
    """
    explorer.view(explorer.start, explorer.every)  # loops are compiled before anybody waits
    server = make_server(explorer, settings.port)
    server.start()
    address = f"http://localhost:{server.port}/"
    say(f"{address} shows {explorer.observation.name}; Ctrl-C ends it")
    if settings.open_browser:
        server.io_loop.add_callback(webbrowser.open, address)
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        server.stop()
