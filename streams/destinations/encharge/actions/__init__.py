"""The actions of Encharge: one file each, and one line in :data:`ACTIONS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.destinations.action import Action
from streams.destinations.encharge.actions.alias_user import ALIAS_USER
from streams.destinations.encharge.actions.create_or_update_object import CREATE_OR_UPDATE_OBJECT
from streams.destinations.encharge.actions.identify_user import IDENTIFY_USER
from streams.destinations.encharge.actions.set_computed_trait import SET_COMPUTED_TRAIT
from streams.destinations.encharge.actions.tag_user import TAG_USER
from streams.destinations.encharge.actions.track_event import TRACK_EVENT
from streams.destinations.encharge.actions.track_page_view import TRACK_PAGE_VIEW
from streams.destinations.encharge.actions.untag_user import UNTAG_USER

ACTIONS: Final[Mapping[str, Action]] = {
    action.slug: action
    for action in (
        ALIAS_USER,
        IDENTIFY_USER,
        TRACK_PAGE_VIEW,
        CREATE_OR_UPDATE_OBJECT,
        TRACK_EVENT,
        TAG_USER,
        UNTAG_USER,
        SET_COMPUTED_TRAIT,
    )
}
"""By what a subscription's ``partnerAction`` says: Segment's slug, but for the last one's."""

__all__ = ["ACTIONS", "Action"]
