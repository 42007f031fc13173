"""What Anaplan's refusals mean, and who acts.

Two kinds share the table: HTTP refusals (by status) and imports that ended without success (by the
`type` of the result's detail; COMPLETE is not success). Source: vendor help on completion codes.
"""

from __future__ import annotations

from tieout.ports.errors import ErrorRule, ErrorTable

LOCKED = r"lock|in use|not available|archived|maintenance|transaction"

ERRORS = ErrorTable(
    (
        ErrorRule(
            "busy",
            "Anaplan asks for fewer calls: 600 a minute per tenant",
            "Nothing to do; the call is repeated after the wait.",
            status=(429,),
        ),
        ErrorRule(
            "denied",
            "Anaplan did not accept the token or the credentials",
            "Check email and password of the integration user, and that it may use the API.",
            status=(401,),
        ),
        ErrorRule(
            "denied",
            "The integration user may not do this in the model",
            "Have a workspace administrator give the user a role with this import, file and view.",
            status=(403,),
        ),
        ErrorRule(
            "outage",
            "The model is locked, shut or held by another transaction",
            "Nothing to do if it opens by itself; else ask the model's owner to unlock it.",
            status=(409, 422, 423),
            pattern=LOCKED,
        ),
        ErrorRule(
            "outage",
            "The model was locked or in use while the import ran, nothing was loaded",
            "Nothing to do if it opens by itself; else ask the model's owner to unlock it.",
            code=("actionFailed", "hierarchyImportFailed", "moduleImportFailed"),
            pattern=LOCKED,
        ),
        ErrorRule(
            "drift",
            "The view holds more than a million cells and cannot be read in one go",
            "Point bookings_view_id at a view that shows fewer periods.",
            status=(400,),
            pattern=r"cells",
        ),
        ErrorRule(
            "drift",
            "Anaplan does not know this workspace, model, file, import or view",
            "Compare the ids in environments/*.yaml with the model; one may have been deleted.",
            status=(404,),
        ),
        ErrorRule(
            "drift",
            "Anaplan refused the form of our call",
            "Compare file, import and view settings of the model with what the connector sends.",
            status=(400, 405, 406, 409, 411, 413, 415, 422),
        ),
        ErrorRule(
            "unknown",
            "Anaplan failed while answering; the import may or may not have started",
            "Nothing to do; the bookings view decides what was loaded.",
            status=(500, 502, 503, 504, 520, 522, 524),
        ),
        ErrorRule(
            "drift",
            "The import points at something the model no longer has",
            "Ask the model builder to repair the import, then release the stream.",
            code=(
                "failedToLocateEntity",
                "failedToLocateHierarchy",
                "failedToLocateModel",
                "failedToLocateModule",
                "failedToLocateSavedView",
                "crossCustomerImport",
            ),
        ),
        ErrorRule(
            "outage",
            "The import could not read the uploaded file, nothing was loaded",
            "Nothing to do; the file is uploaded again. If it repeats, check the file's settings.",
            code=("connectorError",),
        ),
        ErrorRule(
            "drift",
            "The import failed as a whole, nothing was loaded",
            "Read the message with the model builder; repair the import, then release the stream.",
            code=("actionFailed", "hierarchyImportFailed", "moduleImportFailed"),
        ),
    )
)
