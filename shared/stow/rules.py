"""How strictly what comes is judged, from the behaviours of a version."""

from __future__ import annotations

from shared.behaviours import Behaviours
from shared.dicom.validation import ValidationRules


def rules_of(behaviours: Behaviours) -> ValidationRules:
    """The rules of a store."""
    return ValidationRules(
        patient_id=behaviours.patient_id,
        invalid_searchable_value=behaviours.invalid_searchable_value,
        invalid_other_value=behaviours.invalid_other_value,
        nul_padding=behaviours.nul_padding,
    )
