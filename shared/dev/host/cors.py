"""What the platform does about pages of other origins: answers preflights, and says who may read an answer.

The origins are those that a deployment gives the platform: the setting `DICOM_CORS_ORIGINS`, from which `infra` makes
`siteConfig.cors`.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_PREFLIGHT_SECONDS = 600


def with_cors(app: ASGIApp, environment: Mapping[str, str]) -> ASGIApp:
    """The app as pages of the settings' origins may use it; as it is when there are none."""
    origins = [one.strip() for one in environment.get("DICOM_CORS_ORIGINS", "").split(",") if one.strip()]
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        max_age=_PREFLIGHT_SECONDS,
    )
