"""The parts of a content pack that a browser shows as documents of their own.

They are made of what somebody posted, so they are served as if they were hostile: in a sandbox
without scripts or origin, allowed to load nothing but their style.
"""

from html import escape

from fastapi import APIRouter, HTTPException, Response

from examples.content_app.app.api.content.jobs_routes import whole_row
from examples.content_app.app.models import JobRow, RowStatus

router = APIRouter(prefix="/jobs", tags=["results"])

_ARTICLE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/static/article.css">
</head>
<body dir="auto">
{article}
</body>
</html>
"""


@router.get("/{job_id}/article")
def get_article(job_id: str) -> Response:
    """The article, as an HTML document."""
    row = _completed(job_id)
    page = _ARTICLE.format(
        language=escape((row.pack or {}).get("language", "")),
        title=escape(row.title),
        article=row.article_html or "<p>The document has no text.</p>",
    )
    # Links open in a new tab, and that tab is an ordinary one.
    sandbox = "sandbox allow-popups allow-popups-to-escape-sandbox"
    return Response(
        page,
        media_type="text/html",
        headers={
            "Content-Security-Policy": f"default-src 'none'; style-src 'self'; base-uri 'none'; "
            f"form-action 'none'; frame-ancestors 'self'; {sandbox}"
        },
    )


@router.get("/{job_id}/chart.svg")
def get_chart(job_id: str) -> Response:
    """The chart of the key terms, as an SVG document."""
    row = _completed(job_id)
    return Response(
        row.chart_svg or "",
        media_type="image/svg+xml",
        headers={
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
            "frame-ancestors 'self'; sandbox"
        },
    )


def _completed(job_id: str) -> JobRow:
    row = whole_row(job_id)
    if row.status != RowStatus.COMPLETED:
        raise HTTPException(409, f"only a completed job has a result, this one is {row.status}")
    return row
