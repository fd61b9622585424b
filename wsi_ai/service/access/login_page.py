"""Pages of logging in, which ask for nothing but a click."""

from html import escape

from starlette.responses import HTMLResponse

from wsi_ai.core.flags import STATEMENT

_STYLE = "/login/login.css"
STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; display: grid; min-height: 100vh; place-items: center; background: Canvas; }
main { max-width: 26rem; margin: 1rem; padding: 2rem; border: 1px solid GrayText;
  border-radius: 12px; }
h1 { margin: 0 0 .25rem; font-size: 1.35rem; }
p { margin: 0 0 1.25rem; }
.statement { color: GrayText; font-size: .875rem; margin: 1.5rem 0 0; }
.act { display: inline-block; padding: .6rem 1.1rem; border: 0; border-radius: 8px;
  background: #1d4f91; color: #fff; font: inherit; text-decoration: none; cursor: pointer; }
.act:focus-visible { outline: 3px solid #ffb000; outline-offset: 2px; }
[role=alert] { border-left: 4px solid #b3261e; padding-left: .75rem; }
"""


def entry(start: str | None, why: str | None = None, status: int = 200) -> HTMLResponse:
    """``start`` is where a click leads; ``None`` where only programs come in."""
    alert = f'<p role="alert">{escape(why)}</p>' if why else ""
    way = (
        f'<p><a class="act" href="{escape(start)}">Log in</a></p>'
        if start
        else "<p>No login for people is set up here: see [login] in access.toml.</p>"
    )
    return _page("wsi_ai", f"{alert}<p>Log in as you do at your trust.</p>{way}", status)


def left(end_session: str | None) -> HTMLResponse:
    """After logging out."""
    more = (
        f'<p><a href="{escape(end_session)}">Log out of everything else there, too</a></p>'
        if end_session
        else ""
    )
    return _page("You are logged out", f'{more}<p><a class="act" href="/login">Log in</a></p>', 200)


def _page(title: str, body: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" href="{_STYLE}"></head><body><main><h1>{escape(title)}</h1>{body}'
        f'<p class="statement">{escape(STATEMENT)}</p></main></body></html>',
        status,
    )
