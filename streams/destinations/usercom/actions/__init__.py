"""The actions of User.com: one file each, and one line in :data:`ACTIONS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.destinations.action import Action
from streams.destinations.usercom.actions.identify_user import IDENTIFY_USER
from streams.destinations.usercom.actions.merge_users import MERGE_USERS
from streams.destinations.usercom.actions.set_computed_trait import SET_COMPUTED_TRAIT
from streams.destinations.usercom.actions.track_event import TRACK_EVENT
from streams.destinations.usercom.actions.track_page_view import TRACK_PAGE_VIEW
from streams.destinations.usercom.actions.update_company import UPDATE_COMPANY

ACTIONS: Final[Mapping[str, Action]] = {
    action.slug: action
    for action in (
        IDENTIFY_USER,
        TRACK_PAGE_VIEW,
        TRACK_EVENT,
        UPDATE_COMPANY,
        MERGE_USERS,
        SET_COMPUTED_TRAIT,
    )
}
"""By what a subscription's ``partnerAction`` says."""

__all__ = ["ACTIONS"]
