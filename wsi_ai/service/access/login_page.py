"""Pages of logging in, which ask for nothing but a click."""

from html import escape

from starlette.responses import HTMLResponse

from wsi_ai.core.flags import STATEMENT

_STYLE = "/login/login.css"
STYLE = """\
:root { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif;
  color: #1b1f24; background: #f3f5f7; }
body { margin: 0; }
header { padding: .65rem 1.2rem; background: #1b1f24; color: #fff; font-weight: 700; }
.statement { margin: 0; padding: .25rem 1.2rem; background: #f4e3c3; color: #3d2b00;
  font-weight: 600; }
main { max-width: 28rem; margin: 12vh auto 2rem; padding: 1.8rem 2rem 2rem; background: #fff;
  border: 1px solid #d5dadf; border-radius: .4rem; }
h1 { margin: 0 0 .4rem; font-size: 1.35rem; }
p { margin: 0 0 1.2rem; }
p:last-child { margin: 0; }
a { color: #00507f; }
.act { display: inline-block; padding: .5rem 1.3rem; border-radius: .3rem; background: #005a8d;
  color: #fff; font-weight: 600; text-decoration: none; }
.act:hover { background: #00456d; }
:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
[role=alert] { padding: .5rem .8rem; border: 1px solid #b00020; border-left-width: .5rem;
  border-radius: .2rem; background: #fdecee; color: #6d0014; }
"""


_WITH = """\
<p>With the account of your trust.</p><p><a class="act" href="{start}">Log in</a></p>"""
_WITHOUT = """\
<p>No login for people is set up here. An administrator does that: [login] in access.toml.</p>"""


def entry(start: str | None, why: str | None = None, status: int = 200) -> HTMLResponse:
    """``start`` is where a click leads; ``None`` where only programs come in."""
    said = why[:1].upper() + why[1:] if why else ""
    alert = f'<p role="alert">{escape(said)}</p>' if said else ""
    way = _WITH.format(start=escape(start)) if start else _WITHOUT
    return _page("Log in", alert + way, status)


def left(end_session: str | None) -> HTMLResponse:
    """After logging out."""
    more = (
        f'<p><a href="{escape(end_session)}">Log out at your trust, too</a></p>'
        if end_session
        else ""
    )
    return _page("You are logged out", f'{more}<p><a class="act" href="/login">Log in</a></p>', 200)


def _page(title: str, body: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)} · wsi_ai</title>"
        '<meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="/static/pages/icon.svg">'
        f'<link rel="stylesheet" href="{_STYLE}"></head><body><header>wsi_ai</header>'
        f'<p class="statement">{escape(STATEMENT)}</p><main><h1>{escape(title)}</h1>{body}</main>'
        "</body></html>",
        status,
    )
