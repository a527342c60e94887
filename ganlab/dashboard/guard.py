"""Who may ask, and what every answer forbids: the page is for the person at this machine and for nobody else.

A page of a stranger, open in the same browser, can send requests to 127.0.0.1 too, by its address or by a name of its
own that it has pointed there (DNS rebinding). Browsers say where a request comes from, so such requests are refused.
"""

from collections.abc import Mapping

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Sent with every answer, refusals included."""

METHODS = ("GET", "HEAD")


def refusal(environ: Mapping[str, str]) -> str | None:
    """Says why a request is refused; `None` where it may be answered.

    Args:
        environ: of WSGI.
    """
    port = environ.get("SERVER_PORT", "")
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    if port == "80":
        hosts |= {"127.0.0.1", "localhost", "[::1]"}
    if environ.get("HTTP_HOST", "").lower() not in hosts:
        return "this page is served to 127.0.0.1 and localhost only"
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and origin.lower() not in {f"http://{host}" for host in hosts}:
        return "asked for by another origin"
    if environ.get("HTTP_SEC_FETCH_SITE", "none") in ("same-origin", "none"):
        return None
    # A link to the page, followed by a person, shows its sender nothing.
    follows_link = (
        environ.get("PATH_INFO") == "/"
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
    )
    return None if follows_link else "asked for by another site"
