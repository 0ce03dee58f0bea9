"""The gate: asks every call for its token, and roles for leave. When access control is off, it lets everybody in."""

from __future__ import annotations

import logging

from shared.api.access.actions import Action
from shared.api.access.keys import KeyStore
from shared.api.access.roles import Roles
from shared.api.access.tokens import BadToken, Caller, Tokens, token_of
from shared.errors import NotAllowed, NotAuthenticated
from shared.settings import AccessSettings, Settings
from shared.wire.call import Headers

LOG = logging.getLogger(__name__)

_INVALID = ', error="invalid_token"'


class Gate:
    """Who gets in.

    Args:
        settings: whether there is access control, and whose tokens are taken.
        keys: of the issuer; those at the place that the settings name when None.

    Raises:
        SettingsError: the roles of the settings have faults.
    """

    def __init__(self, settings: AccessSettings, keys: KeyStore | None = None) -> None:
        self._on = settings.on
        self._roles = Roles.of(settings.roles)
        self._tokens = Tokens(settings, keys or KeyStore(settings))
        self._challenge = _challenge(settings)

    @classmethod
    def of(cls, settings: Settings) -> Gate:
        """The gate of an app."""
        return cls(settings.access)

    async def identify(self, headers: Headers) -> Caller | None:
        """Who calls; None when nobody is asked.

        Raises:
            NotAuthenticated: there is no token, or none that is believed.
            KeysUnavailable: it cannot be checked.
        """
        if not self._on:
            return None
        try:
            token = token_of(headers)
            if token is not None:
                return await self._tokens.caller(token)
        except BadToken as error:
            LOG.info("token refused: %s", error)
            raise NotAuthenticated(self._challenge + _INVALID) from error
        raise NotAuthenticated(self._challenge)

    def admit(self, caller: Caller | None, action: Action) -> None:
        """Let a caller do something, or not.

        Raises:
            NotAllowed: none of the caller's roles allows it.
        """
        if self._on and (caller is None or not self._roles.allow(caller.roles, action)):
            raise NotAllowed


def _challenge(settings: AccessSettings) -> str:
    """Contract C16. RFC 6750 §3 has realm; the other two are what clients of Azure look for."""
    audience = settings.audiences[0] if settings.audiences else ""
    authority = settings.authority or (settings.issuers[0] if settings.issuers else "")
    return f'Bearer authorization_uri="{authority}", resource_id="{audience}", realm="{audience}"'
